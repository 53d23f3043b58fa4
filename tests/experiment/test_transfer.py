"""A matrix whose cells are evaluations, with everything that may go wrong in one."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import saved
import toy

from qcs_jax.checkpoint import load_variables, weights
from qcs_jax.evaluate import predictions
from qcs_jax.experiment.transfer.cells import Seen, find_networks, shared
from qcs_jax.experiment.transfer.command import main
from qcs_jax.input import sources
from qcs_jax.system import runtime
from qcs_jax.system.errors import UserError
from qcs_jax.train import loop
from qcs_jax.train.evaluate import evaluate_run

STEPS = "24"  # of the run that is here


def relabelled(name, *class_names):
    """The images of `toy`, image i of class i modulo their number."""
    source = toy.source("test")
    labels = np.arange(len(source), dtype=np.int32) % len(class_names)
    changes = {"name": name, "class_names": class_names, "labels": labels}
    return dataclasses.replace(source, **changes)


SPLITS = {
    ("toy", "train"): toy.source("train"),
    ("toy", "test"): toy.source("test"),
    ("turned", "test"): relabelled("turned", "sad", "calm", "glad"),
    ("some", "test"): relabelled("some", "calm", "joy", "sad", "contempt"),
    ("nothing", "test"): relabelled("nothing", "tall", "short"),
}

# After these its answers are of more than one class.
TRAINING = {"train.epochs": 4, "optimizer.learning_rate": 5e-3}


def open_split(name, split, directory=""):
    if (name, split) in SPLITS:
        return SPLITS[name, split]
    if name in {known for known, _ in SPLITS}:
        raise UserError(f"data set {name} has no split {split!r}: it has test")
    raise UserError(f"data set {name!r} is not prepared in {directory}:\n  1. do")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        loop.train_and_evaluate(toy.config(**TRAINING), folder)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with runs of the toy data set, where only `SPLITS` are prepared."""
    toy.install(monkeypatch)
    monkeypatch.setattr(sources, "open_split", open_split)
    monkeypatch.setattr(runtime, "_commit", lambda: "0" * 40)
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    return tmp_path


def lines(out):
    with (out / "transfer.csv").open(newline="") as file:
        return {(x["network"], x["dataset"]): x for x in csv.DictReader(file)}


def test_every_cell_is_what_an_evaluation_gives(here, trained, tmp_path, capsys):
    mapping = "calm=calm,joy=glad"
    arguments = ["--data=toy,turned,some", f"--labels=some:{mapping}", "--out=out"]
    assert main(["runs/first", *arguments]) == 0
    printed = capsys.readouterr().out
    written = lines(here / "out")
    apart = shutil.copytree(trained, tmp_path / "apart")
    for name, label_map in (("toy", ""), ("turned", "by_name"), ("some", mapping)):
        c = toy.config(**{"data.name": name, "data.label_map": label_map})
        alone = evaluate_run(c, apart)
        measured, line = alone.measured, written["runs/first", name]
        metrics, intervals = measured["metrics"], measured["intervals"]
        for metric in ("accuracy", "mean_class_accuracy"):
            low, high = intervals[metric]
            numbers = [line[f"{metric}{x}"] for x in ("", "_low", "_high")]
            assert numbers == [f"{100 * x:.2f}" for x in (metrics[metric], low, high)]
            assert f"{numbers[0]} ({numbers[1]} to {numbers[2]})" in printed
        assert (line["chance"], line["label_map"]) == ("33.33", label_map)
        assert line["own"] == ("yes" if name == "toy" else "no")
        # Written where an evaluation writes, in every bit.
        folder = here / line["folder"]
        part = alone.folder.relative_to(apart)
        assert folder.relative_to(here / "runs/first") == part
        there = json.loads((folder / "metrics.json").read_text())
        assert there | {"run": ""} == measured | {"run": ""}
        answers, others = (x / "predictions.csv" for x in (folder, alone.folder))
        assert answers.read_bytes() == others.read_bytes()
    some = written["runs/first", "some"]
    assert (some["images"], some["images_of_split"]) == ("11", "21")
    assert (some["classes"], some["classes_of_network"]) == ("2", "3")
    for note in (
        "some: testing on 11 of 21 images",
        "some: joy counts as glad",
        "some: left out: sad (5 images), contempt (5 images)",
        "some: no image is of sad: such an answer is wrong",
    ):
        assert f"- {note}\n" in printed
    text = (here / "out" / "transfer.md").read_text()
    assert text.removeprefix("# Transfer\n\n") in printed


def test_a_map_that_turns_the_classes(here):
    """Names are matched, not places: the same images with the same answers."""
    assert main(["runs/first", "--data=turned", "--out=by_name"]) == 0
    turn = "--labels=turned:sad=calm,calm=glad,glad=sad"  # undone, it is toy itself
    assert main(["runs/first", "--data=turned,toy", turn, "--out=turned"]) == 0
    written = lines(here / "turned")
    own, turned = written["runs/first", "toy"], written["runs/first", "turned"]
    assert turned["accuracy"] == own["accuracy"] > "33.33"
    line = lines(here / "by_name")["runs/first", "turned"]
    answers = predictions.read(here / line["folder"] / "predictions.csv")
    names = [answers.class_names[i] for i in answers.labels[:3]]
    assert names == ["sad", "calm", "glad"]
    assert line["accuracy"] == f"{100 * answers.correct.mean():.2f}" != own["accuracy"]


def test_nothing_is_measured_twice(here, capsys, monkeypatch):
    """Of two networks; the figure is drawn."""
    arguments = ["runs", "--data=toy,some", "--out=out"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert first.count(", measured in ") == 4
    assert "[4 of 4] runs/second on some: " in first
    text = (here / "out" / "transfer.md").read_text()
    assert "| runs/second | toy " in text and " * |" in text
    assert (here / "out" / "transfer.png").read_bytes()[1:4] == b"PNG"
    assert (here / "out" / "transfer.svg").read_text().startswith("<?xml")
    assert main(arguments) == 0
    second = capsys.readouterr().out
    assert second.count(", measured before, in runs/") == 4
    assert first[first.index("##") :] == second[second.index("##") :]
    changed = SPLITS["some", "test"]
    changed = dataclasses.replace(changed, labels=np.roll(changed.labels, 1))
    monkeypatch.setitem(SPLITS, ("some", "test"), changed)
    assert main([*arguments, "--labels=toy:by_name"]) == 0
    third = capsys.readouterr().out
    assert third.count(", measured before, ") == third.count(", measured in ") == 2


def test_what_fails_is_a_note_and_the_others_go_on(here, capsys):
    names = "toy,absent,nothing,toy@train,some@easy,turned"
    arguments = ["runs", f"--data={names}", "--labels=turned:sad=glum", "--out=out"]
    saved.untrained(here / "runs" / "third", saved.config(), [])
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert err == "error: 16 of 18 cells were not measured, see above\n"
    with (here / "out" / "transfer.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 18 and sum(x["own"] == "yes" for x in written) == 2
    assert all(bool(x["accuracy"]) == (x["own"] == "yes") for x in written)
    assert all(bool(x["failure"]) != bool(x["accuracy"]) for x in written)
    for reason in (
        "'absent' is not prepared in :\n    1. do",
        "leaves no image of nothing, which has tall, short; the network has calm",
        "toy@train is no test of runs/first: toy@train was trained on",
        "no split 'easy': it has test; name one as some@SPLIT",
        "'glum' in 'sad=glum' is none of calm, glad, sad",
        "runs/third: no checkpoint at",
    ):
        assert reason in out
    row = next(x for x in out.splitlines() if x.startswith("| runs/second | toy"))
    assert row.count(" - [") == 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none", "--data=toy"], "there is no none: give the folder of a run, a file"),
        (["empty", "--data=toy"], "no runs in empty"),
        (["runs", "--data="], "give NAME,NAME or NAME@SPLIT"),
        (["runs", "--data=toy@"], "give NAME,NAME or NAME@SPLIT"),
        (["runs", "--data=toy", "--labels=some:a=b"], "some is none of the data sets"),
        (["runs", "--data=toy", "--labels=toy:"], "give NAME:THEIRS=OURS"),
        (["runs", "--data=toy", "--labels=toy:a=b", "--labels=toy:b=a"], "two maps"),
    ],
)
def test_one_clear_error(arguments, message, here, capsys):
    (here / "empty").mkdir()
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and message in err and not out


def test_networks_are_found_once(here):
    (here / "files").mkdir()
    with_config(here / "runs" / "first", "files/mine.safetensors", toy.config())
    both = ["runs/first", "runs/second"]
    assert find_networks(["runs", "runs/first", "runs/*"]) == both
    several = [f"runs/first/checkpoints/{STEPS}", "files/*", "fer2013"]
    files = ["files/mine.safetensors", "fer2013"]
    assert find_networks(several) == [several[0], *files]
    assert main([*several[:2], "--data=some"]) == 0
    assert (here / "runs/mine").is_dir()  # not beside the file


def seen(started_from=None, **fields):
    config = toy.config(**fields).to_dict()
    return Seen.by({"config": config, "started_from": started_from})


def test_what_a_network_has_seen(here):
    own = {"data.name": "fer2013", "data.val_split": "validation"}
    network = seen(**own, **{"data.extra": "raf_db:joy+affectnet/8:fear"})
    assert shared(network.trained, "fer2013", "train") == "fer2013@train"
    assert shared(network.trained, "ferplus", "train") == "fer2013@train"
    assert not shared(network.trained, "ferplus", "test")
    assert shared(network.chose, "ferplus", "validation") == "fer2013@validation"
    assert shared(network.trained, "affectnet/7", "train") == "affectnet/8@train"
    assert not shared(network.trained, "affectnet/7", "test") and not network.unknown
    folders = seen(**{"data.name": "image_folder/a"})
    assert not shared(folders.trained, "image_folder/b", "train")
    assert shared(folders.trained, "image_folder/a", "train")


def test_what_a_network_starts_from_was_seen_as_well(here):
    for start in ("runs/first", f"runs/first/checkpoints/{STEPS}"):
        tuned = seen(**{"data.name": "ferplus", "init_from": start})
        assert shared(tuned.trained, "toy", "train") == "toy@train"
        assert not tuned.unknown
    shipped = seen(**{"init_from": "fer2013"})
    assert shared(shipped.trained, "ferplus", "train") == "fer2013@train"
    assert shipped.unknown
    # That is from a backbone of people's faces, and so is what starts from this.
    for start in ("gone.pth", "hf:some/network", "faces"):
        assert seen(**{"init_from": start}).unknown == start
    # What was recorded goes before what is there now, which is of the toy data set.
    first = {"config": toy.config(**{"data.name": "fer2013"}).to_dict()}
    second = toy.config(**{"data.name": "raf_db", "init_from": "runs/first"})
    start = {"config": second.to_dict(), "started_from": first}
    network = seen(start, **{"init_from": "runs/first"})
    assert [name for name, _ in network.trained] == ["toy", "raf_db", "fer2013"]
    assert not network.unknown
    assert seen({"network": "qcs"}, **{"init_from": "a.pth"}).unknown == "a.pth"


def with_config(trained, file, c):
    """A file of the same weights, trained otherwise."""
    variables, described, step = load_variables(trained)
    weights.save(file, variables, described | {"config": c.to_dict(), "step": step})
    return str(file)


def test_what_is_not_known_or_optimistic_is_noted(here, trained, capsys, monkeypatch):
    start = with_config(trained, "a.safetensors", toy.config(**{"data.val_split": "v"}))
    file = with_config(trained, "b.safetensors", toy.config(init_from=start))
    c = toy.config(init_from="gone.pth")
    c.train.eval_batch_size = 3  # which eight devices cannot share
    lost = with_config(trained, "c.safetensors", c)
    monkeypatch.setitem(SPLITS, ("toy", "v"), toy.source("test"))
    assert main([file, lost, "--data=toy@v,toy"]) == 0
    printed = capsys.readouterr().out
    note = "toy@v chose an epoch of b.safetensors, or of what that starts from: its"
    assert f"- b.safetensors on toy@v: {note} numbers are" in printed
    assert printed.count("optimistic") == 1
    note = "c.safetensors starts from gone.pth: what that was trained on is not known"
    assert f"- c.safetensors: {note}" in printed

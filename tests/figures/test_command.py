"""`qcs-jax visualize`, and the images that it shows."""

import dataclasses
import json

import numpy as np
import pytest
import small
import toy
from absl import logging
from PIL import Image

import qcs_jax
from qcs_jax import models
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import base_config
from qcs_jax.figures import FIGURES, paper, style
from qcs_jax.figures import visualize_command as command
from qcs_jax.figures.paper import Scene
from qcs_jax.input import sources

CLASSES = ("calm", "glad", "Surprise")
SIDE = 36


@pytest.fixture(scope="module", autouse=True)
def small_world():
    """A small network under the name "tiny", small pictures, and no warnings."""
    logging.set_verbosity(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.SIZES, "tiny", small.SIZES)
        patch.setattr(style, "DPI", 40)
        yield


def write_run(workdir, name, **options):
    config = base_config()
    config.data.name, config.data.resize = "toy", SIDE
    config.model.name, config.model.size = name, "tiny"
    config.model.update(options)
    model = models.create(name, "tiny", num_classes=len(CLASSES), **options)
    items = {**small.variables(model), "train": {"step": np.zeros((), int)}}
    with Checkpoints(workdir, keep=1, metric="accuracy") as checkpoints:
        checkpoints.save(6, items, describe(config, CLASSES, model.image_size))
    return workdir


@pytest.fixture(scope="module")
def qcs(tmp_path_factory):
    workdir = write_run(tmp_path_factory.mktemp("qcs"), "qcs")
    lines = [
        {"step": 3, "kind": "train", "base_loss": 2.0, "cross_loss": 1.0},
        {"step": 6, "kind": "test", "epoch": 1, "nll": 1.0, "accuracy": 0.5},
    ]
    (workdir / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return workdir


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            picture = small.pixels(40, 50, 3, seed=10 * label + i)
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


def run(capsys, *argv):
    """Exit status, standard output, standard error."""
    status = command.main([str(a) for a in argv])
    return status, *capsys.readouterr()


def test_all_figures_of_a_qcs_are_written_beside_the_run(qcs, images, capsys):
    checkpoint = f"--checkpoint={qcs / 'checkpoints' / '6'}"
    status, printed, _ = run(capsys, checkpoint, f"--images={images}")
    assert status == 0 and "skipped" not in printed and "step 6" in printed
    written = {path.name for path in (qcs / "figures").iterdir()}
    assert written == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert printed.count("wrote") == len(written)
    assert list(FIGURES) == list(paper.DRAW)


def test_a_network_gets_what_it_can_have(images, tmp_path, capsys):
    baseline = write_run(tmp_path / "run", "baseline")
    where = f"--checkpoint={baseline}", f"--images={images}", f"--out={tmp_path / 'o'}"
    status, printed, _ = run(capsys, *where)
    assert status == 0
    for name in ("heatmaps", "attention", "negatives", "matrices"):
        assert f"skipped {name}: a baseline has no cross branch" in printed
    assert "skipped losses: the run has no log" in printed
    drawn = {path.stem for path in (tmp_path / "o").iterdir()}
    assert drawn == {"confusion", "distribution", "embedding"}
    status, _, error = run(capsys, *where, "--figures=confusion,heatmaps")
    assert status == 1
    assert "error: heatmaps: a baseline has no cross branch" in error
    pairs = write_run(tmp_path / "pairs", "dcs", interaction="sdpa")
    where = f"--checkpoint={pairs}", f"--images={images}"
    assert run(capsys, *where, "--figures=attention")[0] == 0
    status, _, error = run(capsys, *where, "--figures=heatmaps")
    assert status == 1 and "compares by scaled dot products" in error


def test_a_dataset_of_the_run_is_the_default(qcs, monkeypatch):
    opened = set()

    def open_split(name, split, directory):
        opened.add((name, split, directory))
        return dataclasses.replace(toy.source(split), class_names=CLASSES)

    monkeypatch.setattr(sources, "open_split", open_split)
    scene = Scene(qcs, data_dir="root")
    assert {k: len(v) for k, v in scene.splits.items()} == toy.SIZES
    assert opened == {("toy", "train", "root"), ("toy", "test", "root")}
    assert scene.confusion.sum(axis=1).tolist() == [7, 7, 7]
    assert paper.DRAW["heatmaps"](scene).axes


def test_faces_are_what_the_network_sees_and_answers_what_the_classifier_says(
    qcs, images
):
    scene = Scene(qcs, folder=str(images))
    classifier = qcs_jax.load(qcs)
    expected = np.zeros((3, 3), int)
    for label, name in enumerate(CLASSES):
        for answer in classifier.predict(sorted((images / name).iterdir())):
            expected[label, CLASSES.index(answer.label)] += 1
    np.testing.assert_array_equal(scene.confusion, expected)
    logits, features = scene.outputs
    head = scene.trained.variables["params"]["base"]["vit"]["head"]
    rebuilt = features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(logits, rebuilt, atol=1e-4)

    pixels, normalized = scene.faces
    assert pixels.shape == normalized.shape == (2, 3, 32, 32, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    np.testing.assert_allclose(normalized * std + mean, pixels / 255, atol=1e-5)
    assert (pixels[0] != pixels[1]).any(axis=(1, 2, 3)).all()  # different images
    others = [Scene(qcs, folder=str(images), seed=seed).faces[0] for seed in range(4)]
    np.testing.assert_array_equal(pixels, others[0])
    assert any((pixels != x).any() for x in others[1:])


def test_images_that_are_corrupt_or_missing_are_named(qcs, images, capsys):
    def draw(name):
        where = f"--checkpoint={qcs}", f"--images={images}"
        return run(capsys, *where, f"--figures={name}")

    broken = images / "glad" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (images / "glad" / "notes.txt").write_text("not an image by its name")
    status, printed, _ = draw("distribution")
    assert status == 0 and f"left out {broken}: " in printed
    assert len(Scene(qcs, folder=str(images)).gallery.labels) == 8
    (images / "glad" / "0.png").unlink()
    status, _, error = draw("heatmaps")
    assert status == 1 and "heatmaps: class 'glad' has 1 image in" in error
    (images / "glad" / "2.png").unlink()
    status, _, error = draw("all")
    assert status == 1 and f"{images / 'glad'} has no readable image" in error
    (images / "calm").rename(images / "Calm")
    status, _, error = draw("all")
    assert status == 1 and "lacks 'calm' and has unknown 'Calm'" in error


@pytest.mark.parametrize(
    "argument,problem",
    [
        ("--checkpoint=nowhere", "no checkpoint at"),
        ("--images=nowhere", "nowhere is not a folder: it needs one folder for each"),
        ("--data_dir=nowhere", "data set 'toy' is not prepared in nowhere"),
        ("--figures=heatmaps,nothing", "no figure 'nothing': choose from all, heat"),
        ("--seed=-1", "--seed=-1: give 0 or more"),
    ],
)
def test_one_clear_error(argument, problem, qcs, capsys):
    try:
        assert command.main([f"--checkpoint={qcs}", argument]) == 1
    except SystemExit as end:
        assert end.code == 2
    error = capsys.readouterr().err
    assert "error: " in error and problem in error

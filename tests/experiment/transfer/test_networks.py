"""Which networks are tested, and what they have seen before."""

import toy

from qcs_jax.checkpoint import load_variables, weights
from qcs_jax.experiment.transfer.command import main
from qcs_jax.experiment.transfer.networks import Seen, find_networks

STEPS = "72"  # of the run that is here


def test_networks_are_found_once(here):
    (here / "files").mkdir()
    with_config(here / "runs" / "first", "files/mine.safetensors", toy.config())
    both = ["runs/first", "runs/second"]
    assert find_networks(["runs", "runs/first", "runs/*"]) == both
    step = f"runs/first/checkpoints/{STEPS}"
    several = [step, "files/*", "fer2013"]
    assert find_networks(several) == [step, "files/mine.safetensors", "fer2013"]
    assert main([*several[:2], "--data=some"]) == 0
    assert (here / "runs/mine").is_dir()  # not beside the file


def seen(started_from=None, **fields):
    config = toy.config(**fields).to_dict()
    return Seen.by({"config": config, "started_from": started_from})


def test_what_a_network_has_seen(here):
    own = {"data.name": "fer2013", "data.val_split": "validation"}
    network = seen(**own, **{"data.extra": "raf_db:joy+affectnet/8:fear"})
    assert network.trained_on("fer2013", "train") == "fer2013@train"
    assert network.trained_on("ferplus", "train") == "fer2013@train"
    assert not network.trained_on("ferplus", "test")
    assert network.chosen_by("ferplus", "validation") == "fer2013@validation"
    assert network.trained_on("affectnet/7", "train") == "affectnet/8@train"
    assert not network.trained_on("affectnet/7", "test") and not network.unknown
    folders = seen(**{"data.name": "image_folder/a"})
    assert not folders.trained_on("image_folder/b", "train")
    assert folders.trained_on("image_folder/a", "train")


def test_what_a_network_starts_from_was_seen_as_well(here):
    for start in ("runs/first", f"runs/first/checkpoints/{STEPS}"):
        tuned = seen(**{"data.name": "ferplus", "init_from": start})
        assert tuned.trained_on("toy", "train") == "toy@train" and not tuned.unknown
    shipped = seen(**{"init_from": "fer2013"})
    assert shipped.trained_on("ferplus", "train") == "fer2013@train"
    assert seen(**{"init_from": "gone.pth"}).unknown == "gone.pth"
    assert seen(**{"init_from": "hf:some/network"}).unknown == "hf:some/network"


def test_what_was_recorded_of_the_start_goes_before_what_is_there_now(here):
    first = {"config": toy.config(**{"data.name": "fer2013"}).to_dict()}
    second = toy.config(**{"data.name": "raf_db", "init_from": "runs/first"})
    start = {"config": second.to_dict(), "started_from": first}
    network = seen(start, **{"init_from": "runs/first"})  # which is of the toy data set
    assert [name for name, _ in network.trained] == ["toy", "raf_db", "fer2013"]
    assert not network.unknown
    assert seen({"network": "qcs"}, **{"init_from": "a.pth"}).unknown == "a.pth"


def with_config(trained, file, c):
    """A file of the same weights, trained otherwise."""
    variables, described, step = load_variables(trained)
    weights.save(file, variables, described | {"config": c.to_dict(), "step": step})
    return str(file)


def test_what_is_not_known_or_optimistic_is_noted(
    here, trained, world, capsys, monkeypatch
):
    start = with_config(trained, "a.safetensors", toy.config(**{"data.val_split": "v"}))
    file = with_config(trained, "b.safetensors", toy.config(init_from=start))
    lost = with_config(trained, "c.safetensors", toy.config(init_from="gone.pth"))
    monkeypatch.setitem(world, ("toy", "v"), toy.source("test"))
    assert main([file, lost, "--data=toy@v,toy"]) == 0
    printed = capsys.readouterr().out
    note = "toy@v chose an epoch of b.safetensors, or of what that starts from: its"
    assert f"- b.safetensors on toy@v: {note} numbers are" in printed
    assert printed.count("optimistic") == 1
    note = "c.safetensors starts from gone.pth, which is not here: what"
    assert f"- c.safetensors: {note}" in printed


def test_the_batches_fit_the_devices_that_there_are(here, trained):
    """Eight devices cannot share batches of 3."""
    c = toy.config(**{"train.eval_batch_size": 3})
    assert main([with_config(trained, "odd.safetensors", c), "--data=some"]) == 0

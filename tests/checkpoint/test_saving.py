"""Checkpoints: what was saved is what is read, or an error says why not."""

import functools
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import small
from saved import damage

from qcs_jax import checkpoint
from qcs_jax.checkpoint import CheckpointError, saving
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError
from qcs_jax.train import sam
from qcs_jax.train.step import TrainState

MODEL = small.create("dcs")


def described(name="dcs", class_names=tuple("abcdefg")):
    config = base_config()
    config.model.name = name
    return describe(config, class_names, MODEL.image_size)


DESCRIPTION = described()


@functools.cache
def items(seed=0):
    optimizer = sam.SAM(sam.adam())
    state = TrainState.create(small.variables(MODEL, seed), optimizer)
    items = {
        "params": state.params,
        "batch_stats": state.batch_stats,
        "train": {"step": np.int32(seed), "opt_state": state.opt_state},
    }
    return jax.device_get(items)


def save(workdir, *steps, keep=2, accuracies=None):
    with Checkpoints(workdir, keep=keep, metric="accuracy") as checkpoints:
        for i, step in enumerate(steps):
            metrics = {"accuracy": accuracies[i]} if accuracies else None
            checkpoints.save(step, items(step), DESCRIPTION, metrics)


def restore(workdir, description=DESCRIPTION):
    with Checkpoints(workdir, keep=2, metric="accuracy") as checkpoints:
        return checkpoints.restore(items(), description)


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def steps_in(folder):
    return {path.name for path in folder.iterdir() if path.name.isdecimal()}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("template") / "run"
    save(workdir, 1, 2, accuracies=[0.6, 0.7])
    return workdir


@pytest.fixture
def run(template, tmp_path):
    """A run with checkpoints of steps 1 and 2."""
    return shutil.copytree(template, tmp_path / "run")


def test_round_trip(run, tmp_path):
    read, description = restore(run)
    assert_equal(read, items(2))
    assert description == DESCRIPTION
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(read["params"]))
    assert restore(tmp_path / "empty") is None
    variables, described, step = checkpoint.load_variables(run, branch="base")
    assert step == 2 and described == description
    for name in ("params", "batch_stats"):
        assert_equal(variables[name], {"base": items(2)[name]["base"]})
    folder = run / "checkpoints"
    for path, step in [(run, 2), (folder, 2), (folder / "1", 1)]:
        assert checkpoint.load_variables(path)[2] == step
    assert checkpoint.load_variables(run, step=1)[2] == 1
    with pytest.raises(CheckpointError, match="no checkpoint of step 7"):
        checkpoint.load_variables(run, step=7)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load_variables(tmp_path / "nowhere")


def test_newest_and_best_are_kept_and_remembered(tmp_path):
    save(tmp_path, 1, 2, 3, accuracies=[0.1, 0.9, 0.2])
    save(tmp_path, 4, accuracies=[0.3])  # also when it was opened again
    with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
        assert checkpoints.latest_step() == 4
        for step in (3, 4):
            with pytest.raises(CheckpointError, match=f"step {step} was.* has step 4"):
                checkpoints.save(step, items(step), DESCRIPTION)
    assert steps_in(tmp_path / "checkpoints") == {"2", "3", "4"}


def test_flipped_bit_falls_back_and_loses_nothing(run, caplog):
    damage(run / "checkpoints" / "2" / "params")
    leftover = run / "checkpoints" / "3.orbax-checkpoint-tmp"  # of an unfinished save
    leftover.mkdir()
    assert_equal(restore(run)[0], items(1))
    assert "trying an older one" in caplog.text and not leftover.exists()
    assert (run / "damaged" / "2" / "params").is_dir()
    save(run, 2)  # the step can be saved again
    assert_equal(restore(run)[0], items(2))
    for step in (1, 2):
        damage(run / "checkpoints" / str(step) / "params")
    with pytest.raises(CheckpointError, match=r"every .* damaged .*\[2, 1\]"):
        restore(run)
    assert steps_in(run / "checkpoints") == {"1", "2"}  # nothing is deleted


@pytest.mark.parametrize("item", ["batch_stats", "train", "config", "digests"])
def test_missing_item_is_damage(run, item):
    for path in (run / "checkpoints" / "2" / item).rglob("*"):
        if path.is_file():
            path.unlink()
    assert_equal(restore(run)[0], items(1))


@pytest.mark.parametrize("text", ["[3", '{"accuracy": 0.1}', None])
def test_damaged_metrics_cost_the_metrics_alone(run, text, caplog):
    metrics = run / "checkpoints" / "2" / "metrics" / "metrics"
    if text is None:
        metrics.unlink()
    else:
        metrics.write_text(text)
    assert checkpoint.load_variables(run)[2] == 2
    assert_equal(restore(run)[0], items(2))
    assert text is None or "it counts as one without" in caplog.text
    assert not (run / "damaged").exists()
    save(run, 3, 4, accuracies=[0.3, 0.4])  # the best that is known stays
    assert steps_in(run / "checkpoints") == {"1", "3", "4"}


def test_missing_metadata_and_arrays_are_damage_that_is_told_once(run):
    """TensorStore still reads other arrays when Orbax has given up."""
    (run / "checkpoints" / "2" / "params" / "_METADATA").unlink()
    assert checkpoint.load_variables(run)[2] == 1
    assert_equal(restore(run)[0], items(1))
    save(run, 2)
    for item in ("params", "batch_stats"):
        for file in (run / "checkpoints" / "2" / item / "d").iterdir():
            file.unlink()
    code = f"from qcs_jax import checkpoint; checkpoint.load_variables({str(run)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "step 1 is used in place of step 2" in done.stderr
    assert "Event loop is closed" not in done.stderr
    assert done.stderr.count("\n") == 2 and "cannot be read" in done.stderr


def spoil(trees, *path):
    """Makes one number at a path of keys infinite; the path."""
    for key in path:
        trees = trees[key]
    *_, leaf = jax.tree.leaves(trees)
    leaf.flat[-1] = np.inf
    return "/".join(path)


PATHS = [
    ("params", "cross", "csa1", "mlp", "fc1", "bias"),
    ("batch_stats", "base", "backbone", "stem_norm", "var"),
    ("train", "opt_state"),
]


def test_what_is_not_finite_is_not_saved(run):
    with Checkpoints(run, keep=2, metric="accuracy") as checkpoints:
        for path in PATHS:
            spoiled = jax.tree.map(np.array, items(3))
            name = spoil(spoiled, *path)
            with pytest.raises(FloatingPointError, match=f"^{name}.* not finite"):
                checkpoints.save(3, spoiled, DESCRIPTION)
            assert checkpoints.latest_step() == 2
        checkpoints.save(3, items(3), DESCRIPTION)
    assert_equal(restore(run)[0], items(3))


def test_what_an_earlier_version_saved_so_is_left_out(run, monkeypatch, caplog):
    spoiled = jax.tree.map(np.array, items(3))
    name = spoil(spoiled, *PATHS[0])
    with monkeypatch.context() as patch:
        patch.setattr(saving, "not_finite", lambda trees: "")
        with Checkpoints(run, keep=2, metric="accuracy") as checkpoints:
            checkpoints.save(3, spoiled, DESCRIPTION)
    with pytest.raises(CheckpointError, match=f"step 3, is no network: {name} has"):
        checkpoint.load_variables(run)
    assert checkpoint.load_variables(run, branch="base")[2] == 3  # without cross
    assert_equal(restore(run)[0], items(2))
    assert f"3: {name} has numbers that are not finite; trying" in caplog.text
    assert (run / "damaged" / "3").is_dir()


def test_another_network_or_version_is_no_damage(run):
    """The checkpoint stays where it is, and no older one takes its place."""
    for other, message in (
        (described("qcs"), "model.name is 'dcs' there, 'qcs' here"),
        (described(class_names=tuple("gf")), "classes are a, .* there, g, f here"),
    ):
        with pytest.raises(UserError, match=message):
            restore(run, other)
    assert_equal(restore(run)[0], items(2))
    newer = jax.tree.map(np.array, items(3))
    newer["params"]["base"]["vit"]["crown"] = {"kernel": np.ones(3, np.float32)}
    with Checkpoints(run, keep=2, metric="accuracy") as checkpoints:
        checkpoints.save(3, newer, DESCRIPTION)
    for read in (restore, checkpoint.load_variables):
        with pytest.raises(UserError, match="not know the array params/base/vit/crown"):
            read(run)
    assert (run / "checkpoints" / "3").is_dir()


def test_damage_falls_back_unless_a_step_is_named(run, caplog):
    folder = run / "checkpoints" / "2"
    damage(folder / "params")
    trained = checkpoint.Trained.load(run)
    assert (trained.step, trained.chosen) == (1, "newest that is whole")
    assert_equal(trained.variables["params"], items(1)["params"])
    assert "step 1 is used in place of step 2" in caplog.text
    for path, named in ((run, 2), (folder, None)):
        with pytest.raises(CheckpointError, match="2 (is damaged|cannot be read)"):
            checkpoint.load_variables(path, step=named)
    damage(run / "checkpoints" / "1" / "params")
    with pytest.raises(CheckpointError, match="every checkpoint .* is damaged"):
        checkpoint.load_variables(run)
    assert folder.is_dir()

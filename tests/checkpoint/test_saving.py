"""Checkpoints: what was saved is what is read, or an error says why not."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import saved
import small
from saved import damage

from qcs_jax import checkpoint
from qcs_jax.checkpoint import CheckpointError, Checkpoints, saving
from qcs_jax.checkpoint.description import describe
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


def items(seed=0):
    optimizer = sam.SAM(sam.adam())
    state = TrainState.create(small.variables(MODEL, seed), optimizer)
    return {
        "params": state.params,
        "batch_stats": state.batch_stats,
        "train": {"step": np.int32(seed), "opt_state": state.opt_state},
    }


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


def test_round_trip(tmp_path):
    save(tmp_path, 5)
    read, description = restore(tmp_path)
    assert_equal(read, items(5))
    assert description == DESCRIPTION
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(read["params"]))


def test_empty_directory_has_nothing_to_restore(tmp_path):
    assert restore(tmp_path) is None


def test_newest_and_best_are_kept_and_remembered(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, accuracies=[0.1, 0.9, 0.2, 0.3, 0.4])
    with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
        assert checkpoints.latest_step() == 5
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdecimal()}
    assert kept == {"2", "4", "5"}


def test_best_survives_reopening(tmp_path):
    save(tmp_path, 1, accuracies=[0.9])
    save(tmp_path, 2, 3, 4, accuracies=[0.1, 0.1, 0.1])
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdecimal()}
    assert kept == {"1", "3", "4"}


def test_saving_an_old_step_is_an_error(tmp_path):
    save(tmp_path, 5)
    with pytest.raises(CheckpointError, match="step 5 was not saved"):
        save(tmp_path, 5)
    with pytest.raises(CheckpointError, match="already has step 5"):
        save(tmp_path, 3)


def test_flipped_bit_falls_back_and_loses_nothing(tmp_path, caplog):
    save(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints" / "2" / "params")
    read, _ = restore(tmp_path)
    assert_equal(read, items(1))
    assert "trying an older one" in caplog.text
    assert (tmp_path / "damaged" / "2" / "params").is_dir()
    save(tmp_path, 2)  # the step can be saved again
    assert_equal(restore(tmp_path)[0], items(2))


@pytest.mark.parametrize(
    "item", ["params", "batch_stats", "train", "config", "digests"]
)
def test_missing_item_is_damage(tmp_path, item):
    save(tmp_path, 1, 2)
    for path in (tmp_path / "checkpoints" / "2" / item).rglob("*"):
        if path.is_file():
            path.unlink()
    assert_equal(restore(tmp_path)[0], items(1))


@pytest.mark.parametrize("text", ["", '{"accu', "[3", '{"accuracy": 0.1}', "7", None])
def test_damaged_metrics_cost_the_metrics_alone(tmp_path, text, caplog):
    save(tmp_path, 1, 2, accuracies=[0.6, 0.7])
    metrics = tmp_path / "checkpoints" / "2" / "metrics" / "metrics"
    if text is None:
        metrics.unlink()
    else:
        metrics.write_text(text)
    assert checkpoint.load_variables(tmp_path)[2] == 2
    assert_equal(restore(tmp_path)[0], items(2))
    assert text is None or "it counts as one without" in caplog.text
    assert not (tmp_path / "damaged").exists()
    save(tmp_path, 3, 4, accuracies=[0.3, 0.4])  # the best that is known stays
    steps = {x.name for x in (tmp_path / "checkpoints").iterdir()}
    assert steps == {"1", "3", "4"}


def test_metadata_that_is_missing_is_damage_for_all(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "2" / "params" / "_METADATA").unlink()
    assert checkpoint.load_variables(tmp_path)[2] == 1
    assert_equal(restore(tmp_path)[0], items(1))


def test_many_missing_arrays_are_told_once(tmp_path):
    """TensorStore still reads others when Orbax has given up."""
    saved.run(tmp_path, 1, 2)
    for item in ("params", "batch_stats"):
        for file in (tmp_path / "checkpoints" / "2" / item / "d").iterdir():
            file.unlink()
    code = f"import qcs_jax; print(qcs_jax.load({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "step 1 on toy" in done.stdout
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


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_finite_is_not_saved(path, tmp_path):
    save(tmp_path, 1)
    spoiled = jax.tree.map(np.array, items(2))
    name = spoil(spoiled, *path)
    with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
        with pytest.raises(FloatingPointError, match=f"^{name}.* not finite"):
            checkpoints.save(2, spoiled, DESCRIPTION)
        assert checkpoints.latest_step() == 1
        checkpoints.save(2, items(2), DESCRIPTION)
    assert_equal(restore(tmp_path)[0], items(2))


def test_what_an_earlier_version_saved_so_is_left_out(tmp_path, monkeypatch, caplog):
    save(tmp_path, 1)
    spoiled = jax.tree.map(np.array, items(2))
    name = spoil(spoiled, *PATHS[0])
    with monkeypatch.context() as patch:
        patch.setattr(saving, "not_finite", lambda trees: "")
        with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
            checkpoints.save(2, spoiled, DESCRIPTION)
    with pytest.raises(CheckpointError, match=f"step 2, is no network: {name} has"):
        checkpoint.load_variables(tmp_path)
    assert checkpoint.load_variables(tmp_path, branch="base")[2] == 2  # without cross
    assert_equal(restore(tmp_path)[0], items(1))
    assert f"2: {name} has numbers that are not finite; trying" in caplog.text
    assert (tmp_path / "damaged" / "2").is_dir()


def test_all_damaged_is_an_error_that_deletes_nothing(tmp_path):
    save(tmp_path, 1)
    damage(tmp_path / "checkpoints" / "1" / "params")
    with pytest.raises(CheckpointError, match=r"every checkpoint .* damaged .*\[1\]"):
        restore(tmp_path)
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_unfinished_save_is_removed(tmp_path):
    save(tmp_path, 1)
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    leftover.mkdir()
    assert_equal(restore(tmp_path)[0], items(1))
    assert not leftover.exists()


@pytest.mark.parametrize(
    "other, message",
    [
        (described("qcs"), "model.name is 'dcs' there, 'qcs' here"),
        (described(class_names=tuple("gf")), "classes are a, .* there, g, f here"),
    ],
)
def test_checkpoints_of_another_network_are_refused(tmp_path, other, message):
    save(tmp_path, 1)
    with pytest.raises(UserError, match=message):
        restore(tmp_path, other)
    assert_equal(restore(tmp_path)[0], items(1))


def test_another_version_is_no_damage(tmp_path):
    """The checkpoint stays where it is, and no older one takes its place."""
    save(tmp_path, 1)
    newer = described()
    newer["config"]["model"]["wings"] = 2
    with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
        checkpoints.save(2, items(2), newer)
    for read in (restore, checkpoint.load_variables):
        with pytest.raises(UserError, match="does not know the field model.wings"):
            read(tmp_path)
    assert (tmp_path / "checkpoints" / "2").is_dir()


def test_arrays_of_another_version(tmp_path):
    newer = items(1)
    newer["params"]["base"]["vit"]["crown"] = {"kernel": np.ones(3, np.float32)}
    with Checkpoints(tmp_path, keep=2, metric="accuracy") as checkpoints:
        checkpoints.save(1, newer, DESCRIPTION)
    for read in (restore, checkpoint.load_variables):
        with pytest.raises(UserError, match="know the array params/base/vit/crown/"):
            read(tmp_path)
    assert (tmp_path / "checkpoints" / "1").is_dir()


class TestLoadVariables:
    def test_base_branch_alone(self, tmp_path):
        save(tmp_path, 3)
        variables, description, step = checkpoint.load_variables(
            tmp_path, branch="base"
        )
        expected = items(3)
        assert step == 3 and description == DESCRIPTION
        for name in ("params", "batch_stats"):
            assert_equal(variables[name], {"base": expected[name]["base"]})

    def test_finds_runs_folders_and_steps(self, tmp_path):
        save(tmp_path, 1, 2)
        folder = tmp_path / "checkpoints"
        for path, step in [(tmp_path, 2), (folder, 2), (folder / "1", 1)]:
            assert checkpoint.load_variables(path)[2] == step
        assert checkpoint.load_variables(tmp_path, step=1)[2] == 1

    def test_damage_falls_back_unless_a_step_is_named(self, tmp_path, caplog):
        save(tmp_path, 1, 2)
        folder = tmp_path / "checkpoints" / "2"
        damage(folder / "params")
        variables, _, step = checkpoint.load_variables(tmp_path)
        assert step == 1
        assert_equal(variables["params"], items(1)["params"])
        assert "step 1 is used in place of step 2" in caplog.text
        for path, given in ((tmp_path, 2), (folder, None)):
            with pytest.raises(CheckpointError, match="2 (is damaged|cannot be read)"):
                checkpoint.load_variables(path, step=given)
        damage(tmp_path / "checkpoints" / "1" / "params")
        with pytest.raises(CheckpointError, match="every checkpoint .* is damaged"):
            checkpoint.load_variables(tmp_path)
        assert folder.is_dir()

    def test_missing_step_and_missing_checkpoint(self, tmp_path):
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            checkpoint.load_variables(tmp_path / "nowhere")
        save(tmp_path, 1)
        with pytest.raises(CheckpointError, match="no checkpoint of step 7"):
            checkpoint.load_variables(tmp_path, step=7)

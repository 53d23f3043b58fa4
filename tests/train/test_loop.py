"""Runs: they end where they should, whatever stops them on the way."""

import json
import os
import signal

import jax
import numpy as np
import pytest
import small
import toy
from fleet import assert_same, told
from toy import config

from qcs_jax import checkpoint, main
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.evaluate.runs import read_log
from qcs_jax.input import pipeline
from qcs_jax.system import files
from qcs_jax.system.errors import Interrupted
from qcs_jax.train import loop, writer
from qcs_jax.train.run import Run
from qcs_jax.train.step import TrainStep
from qcs_jax.train.writer import Writer


@pytest.fixture
def reference(finished):
    """A run that nothing stopped."""
    return finished / "plain"


def test_a_run_leaves_what_it_promises_and_is_only_summarised_then(reference, capsys):
    assert checkpoint.newest_step(reference) == 12  # two epochs of six whole batches
    lines = told(reference)
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == [*range(1, 13)]
    tests = [line for line in lines if line["kind"] == "test"]
    assert [(line["step"], line["epoch"]) for line in tests] == [(6, 1), (12, 2)]
    assert all(line["examples"] == 21 for line in tests)
    description = json.loads((reference / "config.json").read_text())
    assert description["class_names"] == list(toy.CLASSES)
    assert description["config"]["train"]["epochs"] == 2
    capsys.readouterr()
    summary = loop.train_and_evaluate(config(), reference)
    assert summary.steps == 12 and told(reference) == lines
    assert "compiling" not in capsys.readouterr().out
    assert "test, best epoch on test (optimistic)  accuracy" in str(summary)


def test_held_out_images_choose_the_checkpoint(tmp_path):
    c = config(**{"data.val_fraction": 0.2, "train.keep_checkpoints": 1})
    c.train.epochs = 3
    summary = loop.train_and_evaluate(c, tmp_path)
    lines = read_log(tmp_path)
    held_out = [line for line in lines if line["kind"] == "held_out"]
    assert [line["examples"] for line in held_out] == [9, 9, 9]
    best = max(held_out, key=lambda line: (line["accuracy"], line["step"]))
    assert summary.scores["best epoch on held-out"]["step"] == best["step"]
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {str(best["step"]), str(summary.steps)}
    assert "test, best epoch on held-out" in str(summary)


def stop_at(monkeypatch, step, action):
    """Acts when the train step of this number was dispatched."""
    advance, steps = Writer.advance, []

    def stopping(self):
        advance(self)
        steps.append(step)
        if self._start + len(steps) == step:
            action()

    monkeypatch.setattr(Writer, "advance", stopping)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Killed(BaseException):
    """Nothing in the program expects or handles it."""


def test_killed_run_resumes_to_the_same_end(tmp_path, monkeypatch, reference):
    def kill():
        raise Killed

    for step in (3, 9):  # before the first checkpoint, and after it
        with monkeypatch.context() as patch:
            stop_at(patch, step, kill)
            with pytest.raises(Killed):
                loop.train_and_evaluate(config(), tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 10, "ki')  # a line that was being written
    loop.train_and_evaluate(config(), tmp_path)
    assert_same(tmp_path, reference)


def test_signal_saves_and_the_same_command_resumes(tmp_path, monkeypatch, reference):
    for step in (4, 6):  # within an epoch, and after it
        message = f"after step {step} of 12"
        with monkeypatch.context() as patch:
            stop_at(patch, step, terminate)
            with pytest.raises(Interrupted, match=message) as stopped:
                loop.train_and_evaluate(config(), tmp_path)
        assert stopped.value.signum == signal.SIGTERM
        assert checkpoint.newest_step(tmp_path) == step
    with monkeypatch.context() as patch:
        iterate = pipeline.iterate

        class Dying:
            """As when a terminal signals the decoding processes as well."""

            def __init__(self, *arguments, **options):
                self._batches, self._read = iterate(*arguments, **options), 0

            def __next__(self):
                self._read += 1
                if self._read == 3:
                    terminate()
                    raise RuntimeError("Worker process was terminated unexpectedly")
                return next(self._batches)

            def close(self):
                self._batches.close()

        patch.setattr(pipeline, "iterate", Dying)
        with pytest.raises(Interrupted, match="after step 8 of 12"):
            loop.train_and_evaluate(config(), tmp_path)
    loop.train_and_evaluate(config(), tmp_path)
    assert_same(tmp_path, reference)


def test_a_mean_of_weights_is_kept_and_training_goes_on_from_the_weights(
    tmp_path, monkeypatch, reference
):
    """Killed or not. What is trained is what it is without, the mean is measured."""
    c, seen = config(**{"optimizer.average": 0.9}), []

    measure = loop.predict_split

    def head(variables):
        return np.asarray(variables["params"]["base"]["vit"]["head"]["kernel"])

    def predict_split(run, step, variables, source):
        seen.append(head(variables))
        return measure(run, step, variables, source)

    monkeypatch.setattr(loop, "predict_split", predict_split)
    loop.train_and_evaluate(c, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 8, terminate)
        with pytest.raises(Interrupted):
            loop.train_and_evaluate(c, tmp_path / "stopped")
    loop.train_and_evaluate(c, tmp_path / "stopped")
    assert_same(tmp_path / "stopped", tmp_path / "whole")

    def saved(folder, averaged):
        run = Run.of(c if averaged else config())
        with Checkpoints(folder, keep=9, metric="accuracy") as checkpoints:
            return loop._restored(run, checkpoints)[0]

    averaged, plain = saved(tmp_path / "whole", True), saved(reference, False)
    small.assert_equal(averaged.trained, plain.variables)
    assert (head(averaged.mean) != head(averaged.trained)).any()
    np.testing.assert_array_equal(seen[-1], head(averaged.mean))
    loaded, _, step = checkpoint.load_variables(tmp_path / "whole", step=12)
    assert step == 12
    small.assert_equal(loaded, averaged.mean)


def test_longer_run_goes_on_and_says_what_changed(tmp_path, capsys):
    loop.train_and_evaluate(config(**{"train.epochs": 1}), tmp_path)
    compiling = "compiling the train step, about a minute the first time"
    assert capsys.readouterr().out.startswith(f"{compiling}\nepoch   1")
    loop.train_and_evaluate(config(), tmp_path)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "note: train.epochs was 1, is now 2",
        "resuming after step 6 of 12",
        compiling,
    ]
    assert checkpoint.newest_step(tmp_path) == 12


def test_a_run_does_not_go_on_with_other_data_or_another_network(reference, capsys):
    for field, value, message in (
        ("seed", 1, "was begun otherwise"),
        # Held-out images could have been trained on.
        ("data.val_fraction", 0.2, "was begun otherwise"),
        # Epochs would change their length.
        ("train.batch_size", 16, "was begun otherwise"),
        # There is no mean to go on with.
        ("optimizer.average", 0.5, "was begun otherwise"),
        ("model.name", "dcs", "Give this run a --workdir of its own"),
    ):
        longer = config(**{field: value, "train.epochs": 3})
        assert main.run("train", longer, reference, "command") == 1
        error = capsys.readouterr().err
        assert message in error and f"\n  {field} " in error
        assert checkpoint.newest_step(reference) == 12


def test_weights_that_cannot_be_read_leave_nothing(tmp_path, capsys):
    (tmp_path / "x.pth").write_text("no weights")
    for start in ("nothing.pth", "x.pth"):
        c = config(init_from=str(tmp_path / start))
        assert main.run("train", c, tmp_path / "runs" / "new", "command") == 1
        assert start in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_one_process_at_a_time(tmp_path, capsys):
    with files.exclusive(tmp_path, "taken"):
        assert main.run("train", config(), tmp_path, "command") == 1
    assert "another process is training in" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with files.exclusive(tmp_path, "taken"):
        pass  # it is free again


def test_what_is_not_finite_stops_the_run(tmp_path, monkeypatch, capsys):
    honest = writer.scalars_of
    for name in ("base_loss", "climbed_grad_norm"):
        spoil = {name: np.nan}
        monkeypatch.setattr(loop, "scalars_of", lambda x, y=spoil: honest(x) | y)
        assert main.run("train", config(), tmp_path, "command") == 1
        message = capsys.readouterr().err
        assert "training is not finite at step 1: " in message
        assert f"{name} nan" in message and "was not yet made" in message


def spoil(monkeypatch, step, part):
    """Makes a part of the state infinite in a step whose report is as always."""
    honest = TrainStep.__call__

    def spoiled(self, state, batch, rate):
        state, reports = honest(self, state, batch, rate)
        if int(state.step) == step:
            leaves, tree = jax.tree.flatten(getattr(state, part))
            leaves[-1] = jax.device_put(np.full_like(leaves[-1], np.inf))
            state = state.replace(**{part: jax.tree.unflatten(tree, leaves)})
        return state, reports

    monkeypatch.setattr(TrainStep, "__call__", spoiled)


def test_a_state_that_is_not_finite_is_never_saved(
    tmp_path, monkeypatch, capsys, reference
):
    for step, part, stop, named in (
        (12, "params", False, "what the network says of 21 of 21 images is not finite"),
        (12, "opt_state", False, "train/opt_state/0/nu/"),
        (10, "batch_stats", True, "batch_stats/base/"),
        (9, "params", True, "params/base/"),
    ):
        with monkeypatch.context() as patch:
            spoil(patch, step, part)
            if stop:
                stop_at(patch, step, terminate)
            assert main.run("train", config(), tmp_path, "command") == 1
        message = capsys.readouterr().err
        assert f"training is not finite at step {step}: " in message
        last = tmp_path / "checkpoints" / "6"
        assert named in message and f"The last good checkpoint is {last}." in message
        assert checkpoint.newest_step(tmp_path) == 6
    loop.train_and_evaluate(config(), tmp_path)
    assert_same(tmp_path, reference)

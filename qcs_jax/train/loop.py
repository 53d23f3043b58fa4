"""Trains and evaluates a configuration; resumes where a killed run was."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import flax.traverse_util
import jax
import ml_collections

from qcs_jax import models
from qcs_jax.checkpoint import FOLDER, NotSavedError, choose_step, newest_step, weights
from qcs_jax.checkpoint.description import differences
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.evaluate.counts import Counts
from qcs_jax.evaluate.runs import CONFIG_FILE, METRIC, read_scores
from qcs_jax.system import processes, runtime
from qcs_jax.system.errors import Interrupted
from qcs_jax.system.files import exclusive, write_json
from qcs_jax.train.initialize import described, initialize, kept, warnings_of
from qcs_jax.train.logits import EvalStep, check_same_everywhere, predict_split
from qcs_jax.train.run import Run, create_train_step, open_batches
from qcs_jax.train.step import TrainState, make_eval_step, replicate
from qcs_jax.train.writer import (
    Summary,
    Writer,
    check_finite,
    progress_line,
    scalars_of,
)

_COMPILING = "compiling the train step, about a minute the first time"


def train_and_evaluate(
    config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> Summary:
    """Runs a configuration to its last epoch, from where `workdir` is.

    Args:
      config: See `base_config`.
      workdir: Created if missing. Holds `config.json`, `log.jsonl`, `tensorboard/` and
        `checkpoints/`.

    Raises:
      UserError: for an impossible configuration, a data set that is missing or does
        not fit, or checkpoints of another network.
      FloatingPointError: if a loss, a gradient, the state or an answer is not finite;
        names step, terms and the last good checkpoint.
      Interrupted: after a signal, with the state saved.
    """
    runtime.enable_compilation_cache()  # a resumed run compiles nothing again
    began, run, workdir = time.perf_counter(), Run.of(config), pathlib.Path(workdir)
    splits, keep = run.splits, config.train.keep_checkpoints
    total = run.total_steps  # reads the data set: a run without one leaves nothing
    fresh = functools.cache(lambda: _fresh(run))
    if newest_step(workdir) is None:
        fresh()  # before anything is made: weights to start from may not fit
    with (
        _alone_in(workdir),
        Checkpoints(workdir, keep=keep, metric=METRIC) as checkpoints,
    ):
        state, description = _restored(run, checkpoints) or fresh()
        if jax.process_count() > 1:
            host = jax.device_get(state.variables)
            digest = weights.digest(flax.traverse_util.flatten_dict(host, sep="/"), "")
            check_same_everywhere({"weights": digest})
        for split in filter(None, (splits.held_out, splits.train, splits.test)):
            _print_notes(split.notes)
        if not jax.process_index():
            write_json(workdir / CONFIG_FILE, description)
        with Writer(
            workdir,
            start=int(state.step),
            total=total,
            images_per_step=config.train.batch_size * run.model.branches,
            log_every=config.train.log_every,
            tensorboard=config.train.tensorboard,
            quiet=jax.process_index() > 0,
        ) as writer:
            _Loop(run, description, checkpoints, writer).take_steps(state)
    scores = read_scores(workdir)
    chosen = workdir / FOLDER / str(choose_step(workdir)[1])
    seconds = time.perf_counter() - began
    return Summary(config.train.epochs, total, seconds, scores, chosen)


def _alone_in(workdir: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """The lock of a run's folder, held by its first process."""
    if jax.process_index():
        return contextlib.nullcontext()
    return exclusive(
        workdir,
        f"another process is training in {workdir}: wait for it, stop it, or give "
        f"this run a --workdir of its own",
    )


def _restored(run: Run, checkpoints: Checkpoints) -> tuple[TrainState, dict] | None:
    """The state of the newest whole checkpoint, and the run's description from now."""
    ours = run.description
    template = jax.eval_shape(lambda: _random_state(run))
    restored = checkpoints.restore(_items(template), ours)
    if restored is None:
        return None
    items, theirs = restored
    changed = differences(theirs, ours)
    _print_notes(f"{field} was {old!r}, is now {new!r}" for field, old, new in changed)
    train = items.pop("train")
    if "trained" in train:
        items = {**train.pop("trained"), "mean": items}
    print(f"resuming after step {int(train['step'])} of {run.total_steps}")
    return TrainState(**items, **train), kept(run, theirs)


def _random_state(run: Run) -> TrainState:
    variables = models.init(run.model, jax.random.key(run.config.seed))
    averaged = run.config.optimizer.average > 0
    return TrainState.create(variables, run.optimizer, averaged=averaged)


def _fresh(run: Run) -> tuple[TrainState, dict]:
    """A random state, or one with the weights that `config.init_from` names."""
    _print_notes(warnings_of(run.config), "warning")
    state, source = _random_state(run), None
    if run.config.init_from:
        path, names = run.config.init_from, run.splits.class_names
        variables, notes, source = initialize(state.trained, path, names)
        _print_notes(notes)
        averaged = state.mean is not None
        state = TrainState.create(variables, run.optimizer, averaged=averaged)
    return state, described(run, source)


def _items(state: TrainState) -> dict[str, Any]:
    """How a state is divided into items of a checkpoint."""
    train = {"step": state.step, "opt_state": state.opt_state}
    if state.mean is not None:
        train["trained"] = state.trained
    return {**state.variables, "train": train}


def _print_notes(notes: Iterable[str], kind: str = "note") -> None:
    for note in notes:
        print(f"{kind}: {note}", flush=True)


@dataclasses.dataclass(frozen=True)
class _Loop:
    """Takes steps, reports them one step late, and saves what was reached."""

    run: Run
    description: dict
    checkpoints: Checkpoints
    writer: Writer

    def take_steps(self, state: TrainState) -> None:
        """From `state` to the last step of the run, or until a signal."""
        run = self.run
        train_step = create_train_step(run.config, run.model, run.optimizer)
        step, reports, stopping = int(state.step), None, False
        if step < run.total_steps:
            self.writer.say(_COMPILING)
        state, batches = replicate(state), open_batches(run, step)
        with contextlib.closing(batches), processes.interrupt() as interrupt:
            while step < run.total_steps:
                if stopping := interrupt.due(step):
                    break
                try:
                    batch = next(batches)
                except Exception:
                    if interrupt.signum is None or jax.process_count() > 1:
                        raise
                    stopping = True  # it has ended a process that decodes, too
                    break
                rate = run.learning_rate(step)
                state, new_reports = train_step(state, batch, rate)
                # The devices work on this step while the one before is reported.
                self._report(step, reports)
                step, reports = step + 1, new_reports
                self.writer.advance()
                if self._is_due(step):
                    self._report(step, reports)
                    reports = None
                    self._evaluate_and_save(step, state)
            self._report(step, reports)
            if stopping:
                self._stop(step, state, interrupt.agreed())

    @functools.cached_property
    def _eval_step(self) -> EvalStep:
        return make_eval_step(self.run.model)

    def _report(self, step: int, reports: dict | None) -> None:
        """Checks every step, and passes it on to the writer."""
        if reports is None:
            return
        scalars = scalars_of(reports)
        with self._finite(step):
            check_finite(scalars)
        self.writer.train(step, scalars)

    @contextlib.contextmanager
    def _finite(self, step: int) -> Iterator[None]:
        """Says where a run was that is not finite any more, and how it can go on."""
        try:
            yield
        except FloatingPointError as error:
            saved, folder = self.checkpoints.latest_step(), self.checkpoints.directory
            good = "was not yet made" if saved is None else f"is {folder / str(saved)}"
            raise FloatingPointError(
                f"training is not finite at step {step}: {error}. The last good "
                f"checkpoint {good}. Lower optimizer.learning_rate, or look at the "
                f"images."
            ) from error

    def _is_due(self, step: int) -> bool:
        """Whether evaluation and checkpoint follow this step."""
        epoch, rest = divmod(step, self.run.epoch_steps)
        every = self.run.config.train.eval_every
        return (rest == 0 and epoch % every == 0) or step == self.run.total_steps

    def _evaluate_and_save(self, step: int, state: TrainState) -> None:
        run, epoch, measured = self.run, step // self.run.epoch_steps, {}
        variables = replicate(state.variables)
        # Held-out images come first: where there are any, they choose the best epoch.
        splits = {"held_out": run.splits.held_out, "test": run.splits.test}
        for kind, source in splits.items():
            if source is not None:
                with self._finite(step):
                    logits = predict_split(run, self._eval_step, variables, source)
                measured[kind] = Counts.of(logits, source.labels).metrics()
                self.writer.write(step, kind, {"epoch": epoch, **measured[kind]})
        self.writer.say(progress_line(epoch, step, measured))
        choosing = next(iter(measured.values()))
        try:
            with self._finite(step):
                self.checkpoints.save(step, _items(state), self.description, choosing)
        except NotSavedError as error:
            if step == run.total_steps:
                raise
            self.writer.say(f"warning: {error} Training goes on.")
        self.writer.restart_clock(step)

    def _stop(self, step: int, state: TrainState, signum: int) -> None:
        with self._finite(step):  # another signal still does no harm
            self.checkpoints.finish(step, _items(state), self.description)
        raise Interrupted(
            signum,
            f"stopped by signal {signum} after step {step} of {self.run.total_steps}; "
            f"the state is saved, the same command resumes",
            saved=True,
        )

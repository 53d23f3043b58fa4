"""Trains and evaluates a configuration; resumes where a killed run was."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from typing import Any

import grain
import jax
import ml_collections

from qcs_jax import models
from qcs_jax.checkpoint import Checkpoints
from qcs_jax.checkpoint.description import check_same_data
from qcs_jax.config import flatten
from qcs_jax.input import pipeline
from qcs_jax.input.sampling import Draw, LabelIndex
from qcs_jax.metrics.counts import Counts
from qcs_jax.metrics.run_log import CONFIG_FILE, METRIC
from qcs_jax.system import compilation_cache
from qcs_jax.system.errors import Interrupted
from qcs_jax.system.files import exclusive, write_json
from qcs_jax.system.signals import Interrupt
from qcs_jax.train.evaluate import predict_split
from qcs_jax.train.initialize import initialize
from qcs_jax.train.run import Run, create_augmentation, create_loss, create_optimizer
from qcs_jax.train.sam import SAM
from qcs_jax.train.step import TrainState, make_eval_step, make_train_step, replicate
from qcs_jax.train.summary import Summary, check_finite, progress_line, scalars_of
from qcs_jax.train.writer import Writer


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
      FloatingPointError: if the loss is not finite; names step, terms and the last
        good checkpoint.
      Interrupted: after a signal, with the state saved.
    """
    compilation_cache.enable()  # a resumed run or another seed compiles nothing again
    began, run, workdir = time.perf_counter(), Run.of(config), pathlib.Path(workdir)
    splits, keep = run.splits, config.train.keep_checkpoints
    optimizer = create_optimizer(config, run.epoch_steps)
    with (
        _alone_in(workdir),
        Checkpoints(workdir, keep=keep, metric=METRIC) as checkpoints,
    ):
        state = _start(run, optimizer, checkpoints)
        for split in filter(None, (splits.held_out, splits.train, splits.test)):
            for note in split.notes:
                print(f"note: {note}")
        if not jax.process_index():
            write_json(workdir / CONFIG_FILE, run.description)
        _Loop(run, workdir, optimizer, checkpoints).take_steps(state)
        checkpoints.wait()
    seconds = time.perf_counter() - began
    return Summary.of(workdir, config.train.epochs, run.total_steps, seconds)


def _alone_in(workdir: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """The lock of a run's folder, held by its first process."""
    if jax.process_index():
        return contextlib.nullcontext()
    return exclusive(
        workdir,
        f"another process is training in {workdir}: wait for it, stop it, or give "
        f"this run a --workdir of its own",
    )


def _start(run: Run, optimizer: SAM, checkpoints: Checkpoints) -> TrainState:
    # Resume order: 1. the newest whole checkpoint of workdir; 2. the weights that
    # config.init_from names, which are not looked for otherwise; 3. fresh weights.
    def fresh_state() -> TrainState:
        variables = models.init(run.model, jax.random.key(run.config.seed))
        return TrainState.create(variables, optimizer)

    restored = _restored_state(run, checkpoints, jax.eval_shape(fresh_state))
    if restored is not None:
        return restored
    state = fresh_state()
    if run.config.init_from:
        variables, notes = initialize(state.variables, run.config.init_from)
        for note in notes:
            print(f"note: {note}")
        state = state.replace(**variables)
    return state


def _restored_state(
    run: Run, checkpoints: Checkpoints, template: TrainState
) -> TrainState | None:
    description = run.description
    restored = checkpoints.restore(_items(template), description)
    if restored is None:
        return None
    items, found = restored
    check_same_data(checkpoints.directory, found, description)
    now, before = flatten(description["config"]), flatten(found["config"])
    for field in now:
        if now[field] != before.get(field):
            print(f"note: {field} was {before.get(field)!r}, is now {now[field]!r}")
    train = items["train"]
    print(f"resuming after step {int(train['step'])} of {run.total_steps}")
    return TrainState(params=items["params"], batch_stats=items["batch_stats"], **train)


def _items(state: TrainState) -> dict[str, Any]:
    """How a state is divided into items of a checkpoint."""
    return {
        "params": state.params,
        "batch_stats": state.batch_stats,
        "train": {"step": state.step, "opt_state": state.opt_state},
    }


class _Loop:
    """Takes steps, reports them one step late, and saves what was reached."""

    def __init__(
        self, run: Run, workdir: pathlib.Path, optimizer: SAM, checkpoints: Checkpoints
    ):
        config = run.config
        self._run = run
        self._workdir = workdir
        self._checkpoints = checkpoints
        self._eval_step = make_eval_step(run.model)
        self._train_step = make_train_step(
            run.model,
            optimizer,
            loss=create_loss(config),
            augment_fn=create_augmentation(config, run.model.image_size),
            seed=config.seed,
            local_climb=config.optimizer.local_climb,
        )

    def take_steps(self, state: TrainState) -> None:
        """From `state` to the last step of the run."""
        run, start = self._run, int(state.step)
        state = replicate(state)
        batches = self._open_batches(start)
        with (
            contextlib.closing(batches),
            Interrupt() as interrupt,
            self._open_writer(start) as writer,
        ):
            reports = None
            for step in range(start + 1, run.total_steps + 1):
                try:
                    batch = next(batches)
                except Exception:
                    if interrupt.signum is None:
                        raise
                    # The signal has ended the processes that decode, too.
                    self._report(writer, step - 1, reports)
                    self._stop(step - 1, state, interrupt.signum)
                state, new_reports = self._train_step(state, batch)
                # The devices work on this step while the one before is reported.
                self._report(writer, step - 1, reports)
                reports = new_reports
                writer.advance()
                if self._is_due(step) or interrupt.signum is not None:
                    self._report(writer, step, reports)
                    reports = None
                if self._is_due(step):
                    self._evaluate_and_save(writer, step, state)
                if interrupt.signum is not None:
                    self._stop(step, state, interrupt.signum)

    def _open_batches(self, start: int) -> grain.DatasetIterator:
        run, c, branches = self._run, self._run.config, self._run.model.branches
        index = LabelIndex(run.splits.train.labels, len(run.splits.class_names))
        batches = pipeline.train_batches(
            run.splits.train,
            Draw(index, branches, c.data.anchors, c.data.negatives),
            batch_size=c.train.batch_size,
            side=c.data.resize,
            seed=c.seed,
            epoch_fraction=c.data.epoch_fraction,
            topology=run.topology,
        )
        return pipeline.iterate(batches, start, workers=c.data.workers)

    def _open_writer(self, start: int) -> Writer:
        config = self._run.config
        return Writer(
            self._workdir,
            start=start,
            total=self._run.total_steps,
            images_per_step=config.train.batch_size * self._run.model.branches,
            tensorboard=config.train.tensorboard,
            quiet=jax.process_index() > 0,
        )

    def _report(self, writer: Writer, step: int, reports: dict | None) -> None:
        """Checks every step; writes those that `train.log_every` asks for."""
        if reports is None:
            return
        scalars = scalars_of(reports)
        check_finite(step, scalars, self._workdir)
        if step % self._run.config.train.log_every == 0:
            writer.train(step, scalars)

    def _is_due(self, step: int) -> bool:
        """Whether evaluation and checkpoint follow this step."""
        epoch, rest = divmod(step, self._run.epoch_steps)
        every = self._run.config.train.eval_every
        return (rest == 0 and epoch % every == 0) or step == self._run.total_steps

    def _evaluate_and_save(self, writer: Writer, step: int, state: TrainState) -> None:
        run, told = self._run, []
        epoch = step // run.epoch_steps
        # Held-out images come first: where there are any, they choose the best epoch.
        for kind, source in (
            ("held_out", run.splits.held_out),
            ("test", run.splits.test),
        ):
            if source is not None:
                logits = predict_split(run, self._eval_step, state.variables, source)
                found = Counts.of(logits, source.labels).metrics()
                writer.write(step, kind, {"epoch": epoch, **found})
                told.append((kind, found))
        writer.say(progress_line(epoch, step, told))
        self._checkpoints.save(step, _items(state), run.description, told[0][1])
        writer.restart_clock(step)

    def _stop(self, step: int, state: TrainState, signum: int) -> None:
        if self._checkpoints.latest_step() != step:
            self._checkpoints.save(step, _items(state), self._run.description)
        self._checkpoints.wait()
        raise Interrupted(
            signum,
            f"stopped by signal {signum} after step {step} of {self._run.total_steps}; "
            f"the state is saved, the same command resumes",
        )

"""What a run reports: in its log, TensorBoard, the progress bar, and at its end."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import sys
import time
from typing import Any

import jax
import numpy as np
import tqdm

from qcs_jax.evaluate.runs import LOG_FILE, read_log
from qcs_jax.system.files import write_text

BRANCH_NAMES = ("anchor", "positive", "negative", "negative2")

# What the progress bar shows of the scalars.
_SHOWN = {
    "loss": "loss={:.3f}",
    "base_loss": "base={:.3f}",
    "cross_loss": "cross={:.3f}",
    "distillation_loss": "distil={:.3f}",
    "accuracy": "acc={:.2f}",
    "images_per_second": "img/s={:.0f}",
}


def scalars_of(reports: dict) -> dict[str, float]:
    """Fetches what a train step reported from the devices; names every number."""
    reports = jax.device_get(reports)
    first = reports["pass1"]
    scalars = {"loss": first["loss"], "accuracy": first["accuracy"].mean()}
    for term in ("base", "cross"):
        if len(first[term]):
            scalars[f"{term}_loss"] = first[term].mean()
            for name, value in zip(BRANCH_NAMES, first[term], strict=False):
                scalars[f"{term}_loss/{name}"] = value
    if "distillation" in first:
        scalars["distillation_loss"] = first["distillation"]
    scalars["grad_norm"] = first["grad_norm"]
    if "pass2" in reports:
        scalars["climbed_loss"] = reports["pass2"]["loss"]
        scalars["climbed_grad_norm"] = reports["pass2"]["grad_norm"]
    return {name: float(value) for name, value in scalars.items()}


def check_finite(scalars: dict[str, float]) -> None:
    """Raises FloatingPointError, with the terms, if a loss or a gradient is not finite.

    Its gradient can be so where a loss is not; each pass of SAM has its own.
    """
    terms = {x: value for x, value in scalars.items() if "loss" in x or "grad" in x}
    if not all(map(math.isfinite, terms.values())):
        raise FloatingPointError(
            ", ".join(f"{name} {value:.6g}" for name, value in terms.items())
        )


def progress_line(epoch: int, step: int, measured: dict[str, dict]) -> str:
    """Formats the metrics of each split after an epoch."""
    parts = [f"epoch {epoch:3d}  step {step:6d}"]
    for kind, metrics in measured.items():
        parts.append(
            f"{kind.replace('_', '-')}: accuracy {metrics['accuracy']:.4f}  "
            f"mean class accuracy {metrics['mean_class_accuracy']:.4f}  "
            f"NLL {metrics['nll']:.3f}"
        )
    return "  ".join(parts)


class Writer:
    """Writes scalars of a run; on a resumed run, goes on where the checkpoint was.

    `workdir/log.jsonl` has one object a line: `{"step": 10, "kind": "train", ...}`.
    Use as a context manager.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        start: int,
        total: int,
        images_per_step: int,
        log_every: int,
        tensorboard: bool,
        quiet: bool = False,
    ):
        """Opens the logs, from which lines of a killed run after `start` are dropped.

        Every `log_every` steps there is a line about training. With `quiet`, which all
        processes but the first are, nothing is written or shown.
        """
        self._start, self._total, self._quiet = start, total, quiet
        self._images, self._log_every = images_per_step, log_every
        self._tick: tuple[float, int] | None = None
        self._bar: tqdm.tqdm | None = None
        self._log = self._events = None
        self._told = False
        if not quiet:
            # What a killed run wrote after its checkpoint is going to be written again.
            kept = [line for line in read_log(workdir) if line["step"] <= start]
            self._path = workdir / LOG_FILE
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            self._log = self._path.open("a", encoding="utf-8", newline="\n")
            if tensorboard:
                from tensorboardX import SummaryWriter

                folder = str(workdir / "tensorboard")
                self._events = SummaryWriter(folder, purge_step=start + 1)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        for output in (self._bar, self._log, self._events):
            try:
                if output is not None:
                    output.close()
            except OSError as error:
                if kind is None:  # else what ends the run is what is to be told
                    path = str(self._path)
                    raise OSError(error.errno, error.strerror, path) from error

    def advance(self) -> None:
        """One more step was dispatched. The first one, which compiled, shows the bar.

        A bar that counted the compilation would promise hours.
        """
        if self._bar is not None:
            self._bar.update(1)
            return
        disabled: Any = {"disable": True} if self._quiet else {}
        self._bar = tqdm.tqdm(
            total=self._total,
            initial=self._start + 1,
            unit="step",
            # Unless quiet it is the user's choice: TQDM_DISABLE=1, as in notebooks.
            **disabled,
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file wants few
        )

    def train(self, step: int, scalars: dict[str, float]) -> None:
        """Takes what each train step reported; writes some, with the speed since.

        The first step is left out of the speed, since it is compiled.
        """
        tick = self._tick = self._tick or (time.perf_counter(), step)
        if step % self._log_every:
            return
        self.restart_clock(step)
        seconds, steps = self._tick[0] - tick[0], step - tick[1]
        if steps and seconds:
            scalars = {**scalars, "steps_per_second": steps / seconds}
            scalars["images_per_second"] = self._images * steps / seconds
        if self._bar is not None:
            shown = [x.format(scalars[k]) for k, x in _SHOWN.items() if k in scalars]
            self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self.write(step, "train", scalars)

    def restart_clock(self, step: int) -> None:
        """Leaves what happened since the last report out of the speed."""
        self._tick = time.perf_counter(), step

    def write(self, step: int, kind: str, scalars: dict[str, Any]) -> None:
        """Appends one line, and one point per scalar to TensorBoard."""
        if self._log:
            line = json.dumps({"step": step, "kind": kind, **scalars})
            if not self._path.exists():  # somebody has removed it
                self._log.close()
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._log = self._path.open("a", encoding="utf-8", newline="\n")
            try:
                self._log.write(line + "\n")
                self._log.flush()
            except OSError as error:  # what is in its buffer is tried again
                if not self._told:
                    self.say(f"warning: the log cannot be written: {error}")
                self._told = True
        if self._events:
            for name, value in scalars.items():
                if np.isscalar(value):
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def say(self, text: str) -> None:
        """Prints a line, above the progress bar where there is one."""
        if not self._quiet:
            tqdm.tqdm.write(text)
            sys.stdout.flush()  # what comes next may take long


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended, in all epochs and steps; the seconds are of this process.

    `checkpoint` is the folder of the one that stands for the run, see `choose_step`.
    """

    epochs: int
    steps: int
    seconds: float
    scores: dict[str, dict]  # of `read_scores`
    checkpoint: pathlib.Path

    def __str__(self) -> str:
        width = max(map(len, self.scores)) + len("test, ")
        lines = [
            f"trained {self.epochs} epochs, {self.steps} steps; this process took "
            f"{self.seconds / 60:.1f} minutes"
        ]
        for name, metrics in self.scores.items():
            lines.append(
                f"  {'test, ' + name:<{width}}  accuracy {metrics['accuracy']:.4f}, "
                f"mean class accuracy {metrics['mean_class_accuracy']:.4f} "
                f"(epoch {metrics['epoch']})"
            )
        lines.append(f"  {'checkpoint':<{width}}  {self.checkpoint}")
        return "\n".join(lines)

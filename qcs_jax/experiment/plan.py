"""Which runs an experiment consists of, and how far each of them is."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import pathlib
from collections.abc import Iterator, Sequence

from absl import flags
from ml_collections import config_flags

from qcs_jax import models
from qcs_jax.compare import runs
from qcs_jax.compare.groups import INDIFFERENT
from qcs_jax.config import flags as flag_errors
from qcs_jax.config import flatten, validate
from qcs_jax.experiment.rows import Row
from qcs_jax.metrics import results
from qcs_jax.metrics.run_log import LOG_FILE
from qcs_jax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a row with a seed.

    Attributes:
      row: Of the table.
      seed: `config.seed`.
      workdir: Of the run.
      arguments: Of `qcs_jax.main`, but for the mode.
      config: All fields by their dotted names, as `config.json` will have them.
    """

    row: Row
    seed: int
    workdir: pathlib.Path
    arguments: tuple[str, ...]
    config: dict[str, object]

    def run(self) -> runs.Run | None:
        """The run as it is on disk, or None before it began."""
        return runs.read_run(self.workdir) if runs.is_run(self.workdir) else None

    @property
    def finished(self) -> bool:
        run = self.run()
        # A process killed right after its last evaluation had not saved that step yet.
        return (
            run is not None
            and run.finished
            and run.scores.last["step"] in _saved_steps(self.workdir)
        )

    @property
    def evaluated(self) -> bool:
        """Whether `--mode=eval` came after the last training."""
        metrics, log = self.workdir / results.METRICS_FILE, self.workdir / LOG_FILE
        return metrics.exists() and metrics.stat().st_mtime >= log.stat().st_mtime

    @property
    def state(self) -> str:
        """For people."""
        run, steps = self.run(), _saved_steps(self.workdir)
        if run is None or not steps:
            return "to do"
        if not self.finished:
            done, whole = run.epochs
            return f"goes on after step {max(steps)}, epoch {done} of {whole} tested"
        return "finished" if self.evaluated else "finished, to be evaluated"

    def is_like(self, run: runs.Run) -> bool:
        """Whether a run differs from this one in nothing but the seed."""
        return not self._differences(run).keys() - {"seed"}

    def _differences(self, run: runs.Run) -> dict[str, tuple[object, object]]:
        """Fields that matter: their value in a run, and in this job."""
        found = runs.with_defaults(run.config)
        return {
            field: (found.get(field), value)
            for field, value in self.config.items()
            if field not in INDIFFERENT and found.get(field) != value
        }

    def check(self) -> None:
        """Raises UserError if what is on disk was trained with other fields."""
        run = self.run()
        if run is None or not _saved_steps(self.workdir):
            return
        different = [
            f"{field} was {old!r}, is now {new!r}"
            for field, (old, new) in self._differences(run).items()
        ]
        if different:
            raise UserError(
                f"{self.workdir} was trained with another configuration:\n  "
                + "\n  ".join(different)
                + "\nGive these values, another --workdir, or delete that folder"
            )


def make_plan(
    config: str,
    rows: Sequence[Row],
    seeds: Sequence[int],
    overrides: Sequence[str],
    workdir: pathlib.Path,
) -> list[Job]:
    """All runs, seed after seed, so that whole tables are there early.

    Args:
      config: As `--config` of `qcs_jax.main`; of a recipe with variants the network is
        replaced by that of each row.
      rows: Of the table.
      seeds: One run of each row with each.
      overrides: `--config.FIELD=VALUE`, for all runs.
      workdir: Folder of the experiment.

    Raises:
      UserError: for a configuration that cannot run, or fields that are not free.
    """
    _check_overrides(overrides, rows)
    jobs = [
        _job(config, row, seed, overrides, workdir) for seed in seeds for row in rows
    ]
    for job in jobs:
        job.check()
    return jobs


def _job(
    config: str, row: Row, seed: int, overrides: Sequence[str], workdir: pathlib.Path
) -> Job:
    folder = workdir / row.name / f"seed{seed}"
    own = {"model.name": row.network, **row.fields, "seed": seed}
    arguments = (
        f"--config={_of_network(config, row.network)}",
        *overrides,
        *(f"--config.{field}={value}" for field, value in own.items()),
    )
    flat = _load(arguments)
    return Job(row, seed, folder, (*arguments, f"--workdir={folder}"), flat)


def _load(arguments: Sequence[str]) -> dict[str, object]:
    """The configuration as `qcs_jax.main` would see it."""
    argv = ["experiment", *arguments]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    try:
        values(argv)
        config = values.config
        _ = config.name  # a file that could not be read says so only now
    except Exception as error:  # a configuration's file may raise anything
        raise UserError(flag_errors.message(error)) from None
    validate(config)
    return json.loads(json.dumps(flatten(config.to_dict())))  # as config.json has it


def _of_network(config: str, network: str) -> str:
    """ "configs/raf.py:qcs,tiny" -> "configs/raf.py:dcs,tiny"; a plain file stays."""
    path, colon, variant = config.partition(":")
    if not colon and not _takes_variant(path):
        return config
    others = [word for word in variant.split(",") if word not in models.BRANCHES]
    return f"{path}:{','.join([network, *filter(None, others)])}"


def _takes_variant(path: str) -> bool:
    """Whether the file's `get_config` has an argument."""
    if not pathlib.Path(path).is_file():
        raise UserError(f"--config={path}: there is no such file")
    spec = importlib.util.spec_from_file_location("experiment_config", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--config={path}: {flag_errors.message(error)}") from None
    if not hasattr(module, "get_config"):
        raise UserError(f"--config={path}: this file defines no get_config()")
    return bool(inspect.signature(module.get_config).parameters)


def _check_overrides(overrides: Sequence[str], rows: Sequence[Row]) -> None:
    taken = {"model.name", *(field for row in rows for field in row.fields)}
    for text in overrides:
        field = text.removeprefix("--config.").partition("=")[0]
        if field == "seed":
            raise UserError(f"{text}: give the seeds with --seeds=0,1,2")
        if field in taken:
            raise UserError(f"{text}: the rows of the table set this field, leave it")


def _saved_steps(workdir: pathlib.Path) -> set[int]:
    """Steps with a whole checkpoint; Orbax gives those their name when it is done."""
    return set(_numbers(workdir / "checkpoints"))


def _numbers(folder: pathlib.Path) -> Iterator[int]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.isdecimal():
            yield int(path.name)

"""Measures every network on every data set; what fails keeps nothing else from it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence

import jax
import ml_collections

from qcs_jax.checkpoint import Trained
from qcs_jax.experiment.transfer.asked import TEST, Asked
from qcs_jax.experiment.transfer.networks import Seen, is_same, whole_config
from qcs_jax.input import sources
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError
from qcs_jax.train.evaluate import Evaluation, evaluate_run


@dataclasses.dataclass(frozen=True)
class Column:
    """A data set that is tested on.

    Attributes:
      asked: What was asked for.
      source: Its images, or None.
      failure: Why there are none.
    """

    asked: Asked
    source: Source | None
    failure: str = ""

    @classmethod
    def of(cls, asked: Asked, data_dir: str) -> Column:
        """Opens it; a mistake is kept, not raised."""
        try:
            return cls(asked, sources.open_split(asked.name, asked.split, data_dir))
        except UserError as error:
            hint = ""
            if f"has no split {asked.split!r}" in str(error):
                hint = f"; name one as {asked.name}@SPLIT"
            return cls(asked, None, f"{error}{hint}")

    @property
    def name(self) -> str:
        """`DATASET/CONFIG`, with the split unless that is "test"."""
        name = self.source.name if self.source else self.asked.name
        return name if self.asked.split == TEST else f"{name}@{self.asked.split}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network on one data set.

    Attributes:
      network: The run, as it was found.
      trained_on: The data set that it was trained on; "" if it cannot be read.
      column: The data set.
      evaluation: What was measured, or None.
      own: Whether it is the test of the network's own data set.
      label_map: How classes were matched; "" where both have the same by themselves.
      notes: What to know of it.
      failure: Why nothing was measured.
    """

    network: str
    trained_on: str
    column: Column
    evaluation: Evaluation | None = None
    own: bool = False
    label_map: str = ""
    notes: tuple[str, ...] = ()
    failure: str = ""


def measure(
    networks: Sequence[str],
    asked: Sequence[Asked],
    data_dir: str = "",
    tell: Callable[[str], None] = print,
) -> list[list[Cell]]:
    """Evaluates networks, unless it is known already what would come out.

    Args:
      networks: From `networks.find`.
      asked: The data sets.
      data_dir: Root of prepared data sets; see `prepared.root`.
      tell: Is given a line about each cell that has been measured.

    Returns:
      A list for every network, with a cell for every data set.

    Raises:
      UserError: if no data set can be opened, or no network can be read.
    """
    columns = [Column.of(one, data_dir) for one in asked]
    if not any(column.source for column in columns):
        raise UserError("\n".join(column.failure for column in columns))
    rows: list[list[Cell]] = []
    total, unread = len(networks) * len(columns), []
    for network in networks:
        begin = len(rows) * len(columns)
        try:
            trained = Trained.load(network, branch="base")
            config = whole_config(trained.config)
        except (UserError, OSError) as error:
            unread.append(f"{network}: {error}")
            rows.append([Cell(network, "", c, failure=unread[-1]) for c in columns])
            continue
        row = []
        for number, column in enumerate(columns, start=begin + 1):
            start = time.monotonic()
            cell = _measure(network, trained, config, column, data_dir)
            seconds = time.monotonic() - start
            tell(f"[{number} of {total}] {_told(cell, seconds)}")
            row.append(cell)
        rows.append(row)
    if len(unread) == len(networks):
        raise UserError("\n".join(unread))
    return rows


def _measure(
    network: str,
    trained: Trained,
    config: ml_collections.ConfigDict,
    column: Column,
    data_dir: str,
) -> Cell:
    source, split = column.source, column.asked.split
    cell = functools.partial(Cell, network, config.data.name, column)
    if source is None:
        return cell(failure=column.failure)
    seen = Seen.by(config, trained.description.get("started_from"))
    if same := seen.trained_on(source.name, split):
        return cell(
            failure=f"{column.name} is no test of {network}: {same} was trained on"
        )
    its_own = is_same(config.data.name, source.name)
    its_own = its_own and tuple(source.class_names) == trained.class_names
    own = its_own and split == config.data.test_split
    notes = []
    if (same := seen.chosen_by(source.name, split)) and not own:  # or it says so itself
        notes.append(
            f"{same} chose an epoch of {network}, or of what that starts from: its "
            f"numbers are optimistic"
        )
    if seen.unknown:
        notes.append(
            f"{network} starts from {seen.unknown}, which is not here: what that was "
            f"trained on is not known"
        )
    config = _for_testing(config, data_dir)
    if not own:
        config.data.test_split, config.data.test_list = split, ""
    if not its_own:
        config.data.name, config.data.label_map = source.name, column.asked.label_map
    try:
        evaluation = evaluate_run(config, network, again=False)
    except (UserError, OSError) as error:
        return cell(failure=f"{network} on {column.name}: {error}")
    told = (*evaluation.measured["notes"], *notes)
    return cell(evaluation, own, config.data.label_map, told)


def _for_testing(
    config: ml_collections.ConfigDict, data_dir: str
) -> ml_collections.ConfigDict:
    """Returns a copy that fits this machine, which need not be that of the training."""
    config = config.copy_and_resolve_references()
    config.data.dir = data_dir
    size, devices = config.train.eval_batch_size, jax.device_count()
    config.train.eval_batch_size = -(-size // devices) * devices
    return config


def _told(cell: Cell, seconds: float) -> str:
    what = f"{cell.network} on {cell.column.name}"
    if cell.evaluation is None:
        return f"{what}: not measured"
    measured, folder = cell.evaluation.measured, cell.evaluation.folder
    accuracy = f"{100 * measured['metrics']['accuracy']:.2f} %"
    if not cell.evaluation.new:
        return f"{what}: {accuracy}, measured before, in {folder}"
    return f"{what}: {accuracy}, measured in {seconds:.0f} s, in {folder}"

"""Measures every network on every data set; what fails keeps nothing else from it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence

import jax

from qcs_jax.checkpoint import Trained
from qcs_jax.config import base_config
from qcs_jax.config.validate import fields_of
from qcs_jax.experiment.transfer.networks import Seen, is_same, shared
from qcs_jax.input import sources
from qcs_jax.input.selection import BY_NAME
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError
from qcs_jax.train.evaluate import Evaluation, evaluate_run

TEST = "test"  # the split where none is named


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set to test on; once opened, it has a `source`, or a `failure`."""

    name: str
    split: str = TEST
    label_map: str = BY_NAME
    source: Source | None = None
    failure: str = ""

    @property
    def title(self) -> str:
        """The name, with the split unless that is "test"."""
        return self.name if self.split == TEST else f"{self.name}@{self.split}"

    def opened(self, data_dir: str) -> Dataset:
        """Opens it; a mistake is kept, not raised."""
        try:
            source = sources.open_split(self.name, self.split, data_dir)
        except UserError as error:
            no_split = f"has no split {self.split!r}" in str(error)
            hint = f"; name one as {self.name}@SPLIT" if no_split else ""
            return dataclasses.replace(self, failure=f"{error}{hint}")
        return dataclasses.replace(self, name=source.name, source=source)


def parse_datasets(data: str, labels: Sequence[str]) -> list[Dataset]:
    """Reads "NAME,NAME@SPLIT,..." and labels "NAME:THEIRS=OURS,..." or "NAME:by_name".

    Raises:
      UserError: for what has another form, a data set that is named twice, or a map for
        one that is not in `data`.
    """
    maps: dict[str, str] = {}
    for text in labels:
        name, _, mapping = (part.strip() for part in text.partition(":"))
        if not name or not mapping:
            raise UserError(
                f"--labels={text}: give NAME:THEIRS=OURS,THEIRS=OURS or NAME:{BY_NAME}"
            )
        if name in maps:
            raise UserError(f"--labels: {name} has two maps, give it one")
        maps[name] = mapping
    datasets: list[Dataset] = []
    for text in data.split(","):
        name, at, split = (part.strip() for part in text.partition("@"))
        if not name or (at and not split):
            raise UserError(f"--data={data}: give NAME,NAME or NAME@SPLIT,...")
        dataset = Dataset(name, split or TEST, maps.get(name, BY_NAME))
        if dataset in datasets:
            raise UserError(f"--data={data}: {text.strip()} is there twice")
        datasets.append(dataset)
    names = {dataset.name for dataset in datasets}
    if stray := sorted(maps.keys() - names):
        raise UserError(
            f"--labels={stray[0]}:...: {stray[0]} is none of the data sets of --data, "
            f"which are {', '.join(sorted(names))}"
        )
    return datasets


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network on one data set: an `evaluation`, or a `failure`.

    `own` says whether it is the test of the network's own data set. `trained_on` is ""
    if the network cannot be read, `label_map` where classes are the same anyway.
    """

    network: str
    trained_on: str
    dataset: Dataset
    evaluation: Evaluation | None = None
    own: bool = False
    label_map: str = ""
    notes: tuple[str, ...] = ()
    failure: str = ""


def measure_cells(
    networks: Sequence[str], datasets: Sequence[Dataset], data_dir: str = ""
) -> list[list[Cell]]:
    """Evaluates networks, unless it is known already what would come out.

    Prints a line about each cell that has been measured; returns a list for every
    network, with a cell for every data set.

    Raises:
      UserError: if no data set can be opened, or no network can be read.
    """
    datasets = [dataset.opened(data_dir) for dataset in datasets]
    if not any(dataset.source for dataset in datasets):
        raise UserError("\n".join(dataset.failure for dataset in datasets))
    rows: list[list[Cell]] = []
    total, unread = len(networks) * len(datasets), []
    for network in networks:
        try:
            trained = Trained.load(network, branch="base")
        except (UserError, OSError) as error:
            unread.append(f"{network}: {error}")
            rows.append([Cell(network, "", x, failure=unread[-1]) for x in datasets])
            continue
        row = []
        for number, dataset in enumerate(datasets, start=len(rows) * len(datasets) + 1):
            start = time.monotonic()
            cell = _measure(network, trained, dataset, data_dir)
            progress = _progress(cell, time.monotonic() - start)
            print(f"[{number} of {total}] {progress}", flush=True)
            row.append(cell)
        rows.append(row)
    if len(unread) == len(networks):
        raise UserError("\n".join(unread))
    return rows


def _measure(network: str, trained: Trained, dataset: Dataset, data_dir: str) -> Cell:
    config, source, split = base_config(), dataset.source, dataset.split
    config.update_from_flattened_dict(fields_of(network, trained.description))
    cell = functools.partial(Cell, network, config.data.name, dataset)
    if source is None:
        return cell(failure=dataset.failure)
    seen = Seen.by(trained.description)
    if same := shared(seen.trained, source.name, split):
        return cell(
            failure=f"{dataset.title} is no test of {network}: {same} was trained on"
        )
    its_own = is_same(config.data.name, source.name)
    its_own = its_own and tuple(source.class_names) == trained.class_names
    own = its_own and split == config.data.test_split
    notes = []
    same = shared(seen.chose, source.name, split)
    if same and not own:  # or it says so itself
        notes.append(
            f"{same} chose an epoch of {network}, or of what that starts from: its "
            f"numbers are optimistic"
        )
    if seen.unknown:
        notes.append(
            f"{network} starts from {seen.unknown}, which is not here: what that was "
            f"trained on is not known"
        )
    if not own:
        config.data.test_split, config.data.test_list = split, ""
    if not its_own:
        config.data.name, config.data.label_map = source.name, dataset.label_map
    config.data.dir = data_dir
    # The devices need not be those that it was trained on.
    devices, size = jax.device_count(), config.train.eval_batch_size
    config.train.eval_batch_size = -(-size // devices) * devices
    try:
        evaluation = evaluate_run(config, network, again=False)
    except (UserError, OSError) as error:
        return cell(failure=f"{network} on {dataset.title}: {error}")
    notes = [*evaluation.measured["notes"], *notes]
    return cell(evaluation, own, config.data.label_map, tuple(notes))


def _progress(cell: Cell, seconds: float) -> str:
    what = f"{cell.network} on {cell.dataset.title}"
    if cell.evaluation is None:
        return f"{what}: not measured"
    accuracy = f"{100 * cell.evaluation.measured['metrics']['accuracy']:.2f} %"
    when = f"measured in {seconds:.0f} s" if cell.evaluation.new else "measured before"
    return f"{what}: {accuracy}, {when}, in {cell.evaluation.folder}"

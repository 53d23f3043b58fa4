"""Measures every network on every data set; what fails keeps nothing else from it."""

from __future__ import annotations

import dataclasses
import functools
import glob
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax

from qcs_jax import checkpoint
from qcs_jax.checkpoint import Trained, weights
from qcs_jax.config import base_config
from qcs_jax.config.validate import fields_of, parse_extra
from qcs_jax.evaluate.runs import CONFIG_FILE, find_runs, read_json
from qcs_jax.input import sources
from qcs_jax.input.selection import BY_NAME
from qcs_jax.input.sources import Source
from qcs_jax.system.datasets import share_images
from qcs_jax.system.errors import UserError
from qcs_jax.train.evaluate import Evaluation, evaluate_run

TEST = "test"  # the split where none is named


def find_networks(arguments: Sequence[str]) -> list[str]:
    """Returns what `evaluate_run` takes, each once.

    Arguments are runs, folders with runs at any depth, patterns of either, checkpoints,
    files of weights, or names of networks; any other raises UserError.
    """
    networks: dict[str, str] = {}  # by their real path
    for argument in arguments:
        matches = [argument]
        if not weights.find(argument) and not os.path.exists(argument):
            matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            names = ", ".join(weights.pretrained())
            raise UserError(
                f"there is no {argument}: give the folder of a run, a file of weights, "
                f"or the name of a network that comes with the package ({names})"
            )
        for network in (n for match in matches for n in _networks(match, argument)):
            file = weights.find(network)
            networks.setdefault(os.path.realpath(file or network), network)
    return list(networks.values())


def _networks(match: str, argument: str) -> list[str]:
    path = pathlib.Path(match)
    named = path.name.isdecimal() and (path / "params").is_dir()
    of_a_run = named or path.name == checkpoint.FOLDER
    if weights.find(match) or of_a_run or (path / checkpoint.FOLDER).is_dir():
        return [match]
    if not path.is_dir() and match != argument:
        return []  # a pattern meets other files, too
    return [str(run.workdir) for run in find_runs([match])]


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
      UserError: for what has another form, or a map for a data set not in `data`.
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
        datasets.append(Dataset(name, split or TEST, maps.get(name, BY_NAME)))
    names = {dataset.name for dataset in datasets}
    if stray := sorted(maps.keys() - names):
        raise UserError(
            f"--labels={stray[0]}:...: {stray[0]} is none of the data sets of --data, "
            f"which are {', '.join(sorted(names))}"
        )
    return datasets


@dataclasses.dataclass(frozen=True)
class Seen:
    """Data sets and splits that a network, or what it starts from, was trained on.

    Those in `chose` have chosen an epoch; of an `unknown` start nothing is known.
    """

    trained: list[tuple[str, str]]
    chose: list[tuple[str, str]]
    unknown: str = ""

    @classmethod
    def by(cls, description: Any) -> Seen:
        """Follows what a network starts from, from one to the next.

        Where its description does not say what that is, this is looked up where
        `init_from` points, as far as that is still there.
        """
        seen, start, followed = cls([], []), "", set[str]()
        while True:
            try:
                fields = fields_of(start, description)
            except UserError:
                return dataclasses.replace(seen, unknown=start)
            if not fields["data.name"]:  # trained elsewhere, and converted
                return dataclasses.replace(seen, unknown=start or fields["name"])
            seen.trained.append((fields["data.name"], fields["data.train_split"]))
            extra = parse_extra(fields["data.extra"])
            seen.trained.extend((name, "train") for name, _ in extra)
            if fields["data.val_split"]:
                seen.chose.append((fields["data.name"], fields["data.val_split"]))
            start, description = fields["init_from"], description.get("started_from")
            if not description:
                if not start or start in followed:
                    return seen
                followed.add(start)
                description = _description_of(start)


def is_same(name: str, opened: str) -> bool:
    """Whether a `data.name` means the data set that is opened as `DATASET/CONFIG`."""
    return name == opened or ("/" not in name and name == opened.partition("/")[0])


def shared(seen: Sequence[tuple[str, str]], name: str, split: str) -> str:
    """Says which data set that was seen has images of a split, or ""."""
    for other, part in seen:
        if part == split and (is_same(other, name) or share_images(other, name)):
            return f"{other}@{part}"
    return ""


def _description_of(start: str) -> Any:
    """What the weights at a path say of themselves; None if they are not here."""
    if weights.in_hub(start):  # nothing is downloaded for a note
        return None
    folder = pathlib.Path(start)
    try:
        if file := weights.find(start):
            return weights.read(file)[1]
        for path in (folder, folder.parent, folder.parent.parent):
            if folder.is_dir() and (path / CONFIG_FILE).is_file():
                return read_json(path / CONFIG_FILE)
    except (UserError, OSError, ValueError):
        pass
    return None


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
    network, with a cell for every data set. What cannot be opened, read or evaluated
    is the `failure` of its cells; UserError if no data set can be opened.
    """
    datasets = [dataset.opened(data_dir) for dataset in datasets]
    if not any(dataset.source for dataset in datasets):
        raise UserError("\n".join(dataset.failure for dataset in datasets))
    rows: list[list[Cell]] = []
    total = len(networks) * len(datasets)
    for network in networks:
        row: list[Cell] = []
        try:
            trained = Trained.load(network, branch="base")
        except (UserError, OSError) as error:
            failure = f"{network}: {error}"
            row = [Cell(network, "", x, failure=failure) for x in datasets]
        else:
            for number, x in enumerate(datasets, start=len(rows) * len(datasets) + 1):
                start = time.monotonic()
                row.append(_measure(network, trained, x, data_dir))
                progress = _progress(row[-1], time.monotonic() - start)
                print(f"[{number} of {total}] {progress}", flush=True)
        rows.append(row)
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
    its_own = (
        is_same(config.data.name, source.name)
        and tuple(source.class_names) == trained.class_names
    )
    own = its_own and split == config.data.test_split
    notes = []
    if not own and (same := shared(seen.chose, source.name, split)):
        notes.append(
            f"{same} chose an epoch of {network}, or of what that starts from: its "
            f"numbers are optimistic"
        )
    if seen.unknown:
        notes.append(
            f"{network} starts from {seen.unknown}: what that was trained on is not "
            f"known here"
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

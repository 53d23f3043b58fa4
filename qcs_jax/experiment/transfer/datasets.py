"""The data sets that networks are tested on, as the command names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qcs_jax.input import sources
from qcs_jax.input.selection import BY_NAME
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError

TEST = "test"  # the split where none is named


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One data set to test on.

    Attributes:
      name: `DATASET` or `DATASET/CONFIG`.
      split: Name of the split.
      label_map: As `data.label_map`.
      source: Its images, once it is open.
      failure: Why it cannot be opened.
    """

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
            hint = ""
            if f"has no split {self.split!r}" in str(error):
                hint = f"; name one as {self.name}@SPLIT"
            return dataclasses.replace(self, failure=f"{error}{hint}")
        return dataclasses.replace(self, name=source.name, source=source)


def parse_datasets(data: str, labels: Sequence[str]) -> list[Dataset]:
    """Reads the arguments of the command.

    Args:
      data: "NAME,NAME@SPLIT,..."
      labels: "NAME:THEIRS=OURS,..." each, or "NAME:by_name".

    Raises:
      UserError: for what has another form, a data set that is named twice, or a map for
        one that is not in `data`.
    """
    datasets: list[Dataset] = []
    for text in data.split(","):
        name, at, split = (part.strip() for part in text.partition("@"))
        if not name or (at and not split):
            raise UserError(f"--data={data}: give NAME,NAME or NAME@SPLIT,...")
        if (dataset := Dataset(name, split or TEST)) in datasets:
            raise UserError(f"--data={data}: {text.strip()} is there twice")
        datasets.append(dataset)
    maps: dict[str, str] = {}
    for text in labels:
        name, _, mapping = (part.strip() for part in text.partition(":"))
        pairs = [pair.partition("=") for pair in mapping.split(",")]
        complete = all(a.strip() and b.strip() for a, _, b in pairs)
        if not name or not (complete or mapping == BY_NAME):
            raise UserError(
                f"--labels={text}: give NAME:THEIRS=OURS,THEIRS=OURS or NAME:{BY_NAME}"
            )
        if name in maps:
            raise UserError(f"--labels: {name} has two maps, give it one")
        maps[name] = mapping
    names = {dataset.name for dataset in datasets}
    if stray := sorted(maps.keys() - names):
        raise UserError(
            f"--labels={stray[0]}:...: {stray[0]} is none of the data sets of --data, "
            f"which are {', '.join(sorted(names))}"
        )
    return [
        dataclasses.replace(dataset, label_map=maps.get(dataset.name, BY_NAME))
        for dataset in datasets
    ]

"""Reads CSV files that come with official data sets."""

import csv
import pathlib
from collections.abc import Iterator

from integrity import PreparationError


def lines(path: pathlib.Path) -> Iterator[list[str]]:
    """Yields the fields of each line, the header included.

    Damaged characters are replaced rather than refused: where they matter, the field
    will not have the form that is expected of it.

    Raises:
      PreparationError: If it is no CSV file.
    """
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            yield from reader
        except csv.Error as error:
            raise PreparationError(
                f"{path}, line {reader.line_num}: {error}: use the original file"
            ) from None

"""Finds the networks to test, and what they have seen."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from qcs_jax import checkpoint
from qcs_jax.checkpoint import weights
from qcs_jax.config.validate import fields_of, parse_extra
from qcs_jax.evaluate.run_log import CONFIG_FILE
from qcs_jax.evaluate.runs import find_runs
from qcs_jax.system.datasets import share_images
from qcs_jax.system.errors import UserError


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
                return json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (UserError, OSError, ValueError):
        pass
    return None

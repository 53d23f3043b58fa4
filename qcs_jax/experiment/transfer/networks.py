"""Finds the networks to test, and what they have seen."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections

from qcs_jax import checkpoint
from qcs_jax.checkpoint import hub, weights
from qcs_jax.config import FIELDS, base_config, flatten
from qcs_jax.config.validate import parse_extra
from qcs_jax.evaluate.run_log import CONFIG_FILE
from qcs_jax.evaluate.runs import find_runs
from qcs_jax.input.splits import share_images
from qcs_jax.system.errors import UserError


def find(arguments: Sequence[str]) -> list[str]:
    """Returns what `evaluate_run` takes, each once.

    Args:
      arguments: Runs, folders with runs at any depth, patterns of either, checkpoints,
        files of weights, or names of networks.

    Raises:
      UserError: for what is none of these.
    """
    found: dict[str, str] = {}
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
            found.setdefault(os.path.realpath(file or network), network)
    return list(found.values())


def _networks(match: str, argument: str) -> list[str]:
    path = pathlib.Path(match)
    named = path.name.isdecimal() and (path / "params").is_dir()
    of_a_run = named or path.name == checkpoint.FOLDER
    if weights.find(match) or of_a_run or (path / checkpoint.FOLDER).is_dir():
        return [match]
    if not path.is_dir() and match != argument:
        return []  # a pattern meets other files, too
    return [str(run.workdir) for run in find_runs([match])]


def whole_config(config: dict | ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Returns a configuration with the fields that its version did not have yet.

    What did not exist yet had, in effect, its default.

    Raises:
      UserError: for a field that this version does not have.
    """
    fields = flatten(config)
    if unknown := sorted(fields.keys() - FIELDS.keys()):
        raise UserError(
            f"it was trained by another version, which has a field {unknown[0]}: test "
            f"it with that version"
        )
    whole = base_config()
    for name, value in fields.items():  # JSON has no tuples
        fits = tuple(value) if isinstance(FIELDS[name].default, tuple) else value
        whole.update_from_flattened_dict({name: fits})
    return whole


@dataclasses.dataclass(frozen=True)
class Seen:
    """The images that made a network what it is, those of what it starts from, too.

    Attributes:
      trained: Data sets and splits that were trained on.
      chose: Data sets and splits that chose an epoch.
      unknown: What it starts from, where nothing tells what that was trained on.
    """

    trained: tuple[tuple[str, str], ...]
    chose: tuple[tuple[str, str], ...]
    unknown: str = ""

    @classmethod
    def by(
        cls,
        config: ml_collections.ConfigDict,
        started_from: dict[str, Any] | None = None,
    ) -> Seen:
        """Follows what a network starts from, from one to the next.

        Args:
          config: The network's configuration.
          started_from: What its description says of that. Where it says nothing, what
            `init_from` names is asked, as far as that is still there.
        """
        trained, chose, followed = [], [], set[str]()
        while True:
            data, start = config.data, config.init_from
            trained.append((data.name, data.train_split))
            trained += [(name, "train") for name, _ in parse_extra(data.extra)]
            if data.val_split:
                chose.append((data.name, data.val_split))
            if not started_from:
                if not start or start in followed:
                    return cls(tuple(trained), tuple(chose))
                followed.add(start)
                started_from = _description_of(start)
            try:
                config = whole_config(started_from["config"])
            except (UserError, ValueError, KeyError, TypeError, AttributeError):
                return cls(tuple(trained), tuple(chose), start)
            started_from = started_from.get("started_from")

    def trained_on(self, name: str, split: str) -> str:
        """Says which trained images a split shares, or ""."""
        return _shared(self.trained, name, split)

    def chosen_by(self, name: str, split: str) -> str:
        """The same of images that chose an epoch."""
        return _shared(self.chose, name, split)


def is_same(asked: str, name: str) -> bool:
    """Whether a `data.name` means the data set that is opened as `name`."""
    return asked == name or ("/" not in asked and asked == name.partition("/")[0])


def _shared(seen: Sequence[tuple[str, str]], name: str, split: str) -> str:
    for other, part in seen:
        if part == split and (is_same(other, name) or share_images(other, name)):
            return f"{other}@{part}"
    return ""


def _description_of(start: str) -> dict[str, Any]:
    """What the weights that a path names say of themselves, if they are here."""
    if hub.names(start):  # nothing is downloaded for a note
        return {}
    try:
        if file := weights.find(start):
            return weights.load(file)[1]
        folder = pathlib.Path(start)
        places = (
            (folder, folder.parent, folder.parent.parent) if folder.is_dir() else ()
        )
        for path in places:
            if (path / CONFIG_FILE).is_file():
                found = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
                return found if isinstance(found, dict) else {}
    except (UserError, OSError, ValueError):
        pass
    return {}

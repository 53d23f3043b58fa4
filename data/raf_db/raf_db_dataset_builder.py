"""TFDS builder of RAF-DB's basic set: its aligned images and their labels."""

import pathlib
import re
from collections.abc import Mapping, Sequence

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

from ..official import Copy, Example, OfficialBuilder, missing, stored
from . import attributes

# Labels in the list count from 1.
CLASS_NAMES = DATASETS["raf_db"].class_names
_HOW_TO_OBTAIN = """\
Expected is the basic set of RAF-DB, with its archives unpacked:
  FOLDER/basic/EmoLabel/list_patition_label.txt
  FOLDER/basic/Image/aligned/train_00001_aligned.jpg
  ...
Its authors give access on request: http://www.whdeng.cn/RAF/model1.html"""

_LIST = "EmoLabel/list_patition_label.txt"  # the name is spelled like this
_ALIGNED = "Image/aligned"
_COMPOUND_CLASSES = 11


class Builder(OfficialBuilder):
    """RAF-DB, basic set: real-world faces, aligned, 7 expressions."""

    how_to_obtain = _HOW_TO_OBTAIN
    knows_people = True

    def scan(self, root: pathlib.Path) -> Copy:
        """Reads the list in `root`, which holds `basic` or is it, but no image.

        The prefixes of the image names are the splits.
        """
        basic = _basic_folder(root)
        aligned = basic / _ALIGNED
        if not aligned.is_dir():
            what = f"{aligned} is missing: unpack aligned.zip (not original.zip) there."
            raise missing(what, self.how_to_obtain)
        examples: dict[str, list[Example]] = {split: [] for split in self.published}
        for name, label in _read_list(basic / _LIST).items():
            split, _ = name.split("_")
            path = aligned / f"{name}_aligned.jpg"
            example = Example(f"aligned/{path.name}", label, path, stored(path))
            examples[split].append(example)
        groups = attributes.read(basic, examples)
        copy = Copy(root=root, examples=examples, groups=groups)
        copy.remarks.extend(_permuted(copy, self.published))
        if not groups:
            copy.remarks.append(attributes.without(basic))
        return copy


def _basic_folder(root: pathlib.Path) -> pathlib.Path:
    for folder in (root / "basic", root):
        if (folder / _LIST).is_file():
            return folder
    if (root / "compound").is_dir() and not (root / "basic").is_dir():
        what = f"{root} holds only the compound set of RAF-DB, not the basic one."
    else:
        what = f"{root / 'basic' / _LIST} is missing."
    raise missing(what, _HOW_TO_OBTAIN)


def _read_list(path: pathlib.Path) -> dict[str, int]:
    """Returns the label, from 0, of each image: `train_00001`, ... ."""
    labels: dict[str, int] = {}
    lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        match = re.fullmatch(r"((?:train|test)_\d+)\.jpg\s+(\d+)", line.strip())
        if not match:
            raise UserError(
                f"{where}: {line.strip()!r} is not like 'train_00001.jpg 5': restore "
                f"the original list"
            )
        name, label = match[1], int(match[2])
        _check_label(label, where)
        if name in labels:
            raise UserError(
                f"{where}: {name}.jpg is listed twice: restore the original list"
            )
        labels[name] = label - 1
    return labels


def _check_label(label: int, where: str) -> None:
    if 1 <= label <= len(CLASS_NAMES):
        return
    if len(CLASS_NAMES) < label <= _COMPOUND_CLASSES:
        raise UserError(
            f"{where}: label {label} belongs to the compound set of RAF-DB, whose "
            f"list of {_COMPOUND_CLASSES} classes has the same name: give the folder "
            f"of the basic set, with {len(CLASS_NAMES)} classes"
        )
    raise UserError(
        f"{where}: label {label} is not in 1..{len(CLASS_NAMES)}: restore the "
        f"original list"
    )


def _permuted(copy: Copy, original: Mapping[str, Sequence[int]]) -> list[str]:
    """Warns when the classes have each other's published sizes."""
    for split, published in original.items():
        count = copy.counts(split)
        stored = tuple(count[label] for label in range(len(CLASS_NAMES)))
        if stored == published or sorted(stored) != sorted(published):
            continue
        owners = [CLASS_NAMES[published.index(n)] for n in stored]
        how = "alphabetically" if owners == sorted(CLASS_NAMES) else "in another order"
        sizes = ", ".join(f"{k} that of {o}" for k, o in enumerate(owners, start=1))
        order = ", ".join(f"{k} = {n}" for k, n in enumerate(CLASS_NAMES, start=1))
        return [
            f"warning: the labels of this copy seem to be numbered {how}, so that the "
            f"classes get wrong names: in {split}, label {sizes} as published, where "
            f"officially {order}. Use the original list"
        ]
    return []

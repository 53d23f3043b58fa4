"""TFDS builder of FER2013."""

import hashlib
import io
import pathlib
from collections.abc import Sequence

import tqdm
from PIL import Image

from qcs_jax.system.errors import UserError

from ..integrity import Unreadable
from ..official import Copy, Example, OfficialBuilder, missing
from . import folders, table

_HOW_TO_OBTAIN = f"""\
Expected is one of:
  FOLDER/fer2013.csv         (or FOLDER/fer2013/fer2013.csv, as it is unpacked)
  FOLDER/icml_face_data.csv
  FOLDER/train/CLASS/*.jpg, FOLDER/test/CLASS/PublicTest_*.jpg and PrivateTest_*.jpg
The tables are in {table.KAGGLE}"""


class Builder(OfficialBuilder):
    """FER2013: grey faces from the web, 48 x 48 pixels, with one of 7 expressions."""

    how_to_obtain = _HOW_TO_OBTAIN
    drop_duplicates = False  # of training images that are in another split, too

    @property
    def choices(self) -> str:
        return "without duplicates" if self.drop_duplicates else ""

    def scan(self, root: pathlib.Path) -> Copy:
        path = table.find(root)
        if path:
            rows = table.read(path)
        elif folders.is_in(root):
            rows = folders.read(root)
        else:
            what = f"{root} has no {' or '.join(table.NAMES)}, and no folder train."
            raise missing(what, self.how_to_obtain)
        copy = Copy(root, {split: [] for split in self.published})
        for split, row in rows:
            if isinstance(row, Unreadable):
                copy.unreadable.append(row)
            else:
                copy.examples[split].append(row)
        self._check_splits(copy)
        self._compare_splits(copy)
        return copy

    def _check_splits(self, copy: Copy) -> None:
        """Training needs two splits; PrivateTest may be missing."""
        for split in [split for split, rows in copy.examples.items() if not rows]:
            if split != "test":
                what = f"{copy.root} has no image of the split {split!r}."
                raise missing(what, self.how_to_obtain)
            del copy.examples[split]
            copy.remarks.append(
                "warning: there is no image of PrivateTest: the data set is prepared "
                "without the split test; add --config.data.test_split=validation"
            )

    def _compare_splits(self, copy: Copy) -> None:
        doubled = _duplicates(copy.examples)
        for split, examples in sorted(doubled.items()):
            copy.remarks.append(
                f"{len(examples):,} training images are in the split {split}, too"
            )
        if self.drop_duplicates:
            drop = {example.id for rows in doubled.values() for example in rows}
            kept = [x for x in copy.examples["train"] if x.id not in drop]
            if not kept:
                raise UserError(
                    f"{copy.root}: every training image is in another split, too"
                )
            copy.examples["train"] = kept
            copy.remarks.append(f"left out of training: {len(drop):,} of them")
        elif any(doubled.values()):
            copy.remarks.append("--drop_duplicates leaves them out of training")


def _duplicates(examples: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """Per other split, the training images that it has, too, pixel by pixel.

    What cannot be decoded is equal to nothing.
    """
    train = _digests("train", examples["train"])
    doubled = {}
    for split in examples.keys() - {"train"}:
        seen = set(_digests(split, examples[split])) - {None}
        pairs = zip(examples["train"], train, strict=True)
        doubled[split] = [example for example, digest in pairs if digest in seen]
    return doubled


def _digests(split: str, examples: Sequence[Example]) -> list[bytes | None]:
    progress = tqdm.tqdm(examples, desc=f"Comparing {split}", unit=" images", delay=2)
    return [_digest(example) for example in progress]


def _digest(example: Example) -> bytes | None:
    try:
        image = Image.open(io.BytesIO(example.load())).convert("L")
    except (OSError, ValueError):
        return None
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()

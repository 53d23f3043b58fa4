"""TFDS builder of AffectNet, from whichever of its two releases a folder holds."""

import collections
import pathlib
import types

import tensorflow_datasets as tfds

from qcs_jax.system.errors import UserError

from ..integrity import Unreadable
from ..official import Copy, OfficialBuilder, missing
from . import csv_release, folder_release
from .labels import CLASS_NAMES, NO_EXPRESSION

_HOW_TO_OBTAIN = """\
Expected is one of the two releases of AffectNet, with its archives unpacked.
The newer one:
  FOLDER/train_set/images/0.jpg
  FOLDER/train_set/annotations/0_exp.npy
  FOLDER/val_set/images, FOLDER/val_set/annotations
The older one:
  FOLDER/training.csv, FOLDER/validation.csv (or in Manually_Annotated_file_lists)
  FOLDER/Manually_Annotated_Images/1/... (or in Manually_Annotated)
Heads of laboratories and professors can request it:
http://mohammadmahoor.com/pages/databases/affectnet/"""


class Builder(OfficialBuilder):
    """AffectNet, annotated by hand: faces from the web, 7 or 8 expressions."""

    # Named after how many classes they have, in the order of the labels.
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="7", description="Without contempt."),
        tfds.core.BuilderConfig(name="8", description="With contempt."),
    ]
    how_to_obtain = _HOW_TO_OBTAIN

    def scan(self, root: pathlib.Path) -> Copy:
        """Reads the labels alone; the validation set is the split "test"."""
        return _scan(root, len(self.class_names))


def _scan(root: pathlib.Path, num_classes: int) -> Copy:
    copy = Copy(root=root, examples={})
    skipped: collections.Counter[int] = collections.Counter()
    release = _release(root)
    for split, name in release.SPLITS.items():
        copy.examples[split] = []
        for entry in release.read(root, name):
            if isinstance(entry, Unreadable):
                copy.unreadable.append(entry)
            elif entry.label < num_classes:
                copy.examples[split].append(entry)
            else:
                skipped[entry.label] += 1
    names = {**dict(enumerate(CLASS_NAMES)), **NO_EXPRESSION}
    if skipped:
        parts = ", ".join(f"{skipped[k]:,} {names[k]}" for k in sorted(skipped))
        copy.remarks.append(f"left out, by their label: {parts}")
    return copy


def _release(root: pathlib.Path) -> types.ModuleType:
    """Returns the module that reads the release that is there."""
    newer, older = folder_release.is_in(root), csv_release.is_in(root)
    if newer and older:
        raise UserError(
            f"{root} holds both releases of AffectNet, the folders train_set and "
            f"val_set and the lists training.csv and validation.csv: give a folder "
            f"with only one of them"
        )
    if not newer and not older:
        what = f"{root} holds neither train_set nor training.csv."
        raise missing(what, _HOW_TO_OBTAIN)
    release = folder_release if newer else csv_release
    if lacking := release.lacking(root):
        raise missing(f"{lacking[0]} is missing.", _HOW_TO_OBTAIN)
    return release

"""Finds out which of the two releases of AffectNet a folder holds, and reads it."""

import collections
import pathlib
import types

from integrity import Unreadable
from official import Copy, missing

from affectnet import csv_release, folder_release
from affectnet.labels import CLASS_NAMES, NO_EXPRESSION
from qcs_jax.system.errors import UserError

PUBLISHED = {
    "train": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750),
    "test": (500,) * 8,
}
HOW_TO_OBTAIN = """\
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


def scan(root: pathlib.Path, num_classes: int) -> Copy:
    """Reads the labels without opening the images.

    Args:
      root: Holds either release.
      num_classes: How many of the classes to keep, in the order of the labels.

    Returns:
      The copy; AffectNet's validation set is its split "test".

    Raises:
      UserError: if something is missing, or both releases are there.
    """
    copy = Copy(root=root, examples={})
    skipped = collections.Counter()
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
        raise missing(what, HOW_TO_OBTAIN)
    release = folder_release if newer else csv_release
    if lacking := release.lacking(root):
        raise missing(f"{lacking[0]} is missing.", HOW_TO_OBTAIN)
    return release

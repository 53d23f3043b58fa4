"""The data sets that `data/` can prepare: a table of them, and where each is prepared.

Looks at names of folders alone, without TensorFlow Datasets.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

from qcs_jax.system import files
from qcs_jax.system.command import typed
from qcs_jax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is known of a data set before any copy of it is seen.

    Attributes:
      published: Split -> images of each class in the original; empty where there is
        no original, else the owners ask to agree to their terms.
    """

    recipe: str  # in `configs/`
    classes: str = ""  # in the order of the labels; empty where they are the user's
    published: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    images_of: str = ""  # name of the data set whose images, with other labels, it has
    drawn: bool = False  # drawings, not photographs
    in_paper: bool = False  # the paper reports accuracies on it

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return tuple(self.classes.split())


_AFFECTNET = "neutral happiness sadness surprise fear disgust anger contempt"
_AFFECTNET_TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)


def _affectnet(classes: int) -> DataSet:
    return DataSet(
        recipe=f"affectnet{classes}",
        classes=" ".join(_AFFECTNET.split()[:classes]),
        published={"train": _AFFECTNET_TRAIN[:classes], "test": (500,) * classes},
        in_paper=True,
    )


# `DATASET` or `DATASET/CONFIG` -> what is known of it.
DATASETS = {
    "synthetic_faces": DataSet(
        recipe="demo",
        classes="neutral happiness surprise sadness anger disgust fear",
        drawn=True,
    ),
    "image_folder": DataSet(recipe="folder"),
    "raf_db": DataSet(
        recipe="raf",
        classes="surprise fear disgust happiness sadness anger neutral",
        published={
            "train": (1290, 281, 717, 4772, 1982, 705, 2524),
            "test": (329, 74, 160, 1185, 478, 162, 680),
        },
        in_paper=True,
    ),
    "fer2013": DataSet(
        recipe="fer2013",
        classes="anger disgust fear happiness sadness surprise neutral",
        published={
            "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
            "validation": (467, 56, 496, 895, 653, 415, 607),
            "test": (491, 55, 528, 879, 594, 416, 626),
        },
    ),
    "ferplus": DataSet(
        recipe="ferplus",
        classes="neutral happiness surprise sadness anger disgust fear contempt",
        published={
            "train": (8740, 7287, 3149, 3014, 2100, 119, 532, 119),
            "validation": (1182, 865, 415, 351, 287, 24, 62, 13),
            "test": (1090, 893, 396, 384, 273, 18, 83, 16),
        },
        images_of="fer2013",
        in_paper=True,
    ),
    "affectnet/7": _affectnet(7),
    "affectnet/8": _affectnet(8),
}
# Other names of classes, in folders of FER2013.
ALIASES = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}


def find(name: str) -> DataSet | None:
    """Looks up `DATASET` or `DATASET/CONFIG`; None for a data set of somebody's own.

    A configuration that is not in the table is like the data set, or like its first
    one: `synthetic_faces/biased`, `affectnet`.
    """
    same = {k: v for k, v in DATASETS.items() if folder_of(k) == folder_of(name)}
    return same.get(name) or next(iter(same.values()), None)


def folder_of(name: str) -> str:
    """`DATASET/CONFIG` -> `DATASET`, its folder in `data/`."""
    return name.partition("/")[0]


def share_images(name: str, other: str) -> bool:
    """Whether two data sets have images in common.

    The configurations of a data set are views of the same images, but for folders,
    each of which is a data set of its own. What has other labels for the same images
    has the splits of the original, by the same names.
    """
    first, second = map(_original, (name, other))
    return name == other or first == second != "image_folder"


def _original(name: str) -> str:
    known = find(name)
    return known.images_of if known and known.images_of else folder_of(name)


def root(directory: str = "") -> pathlib.Path:
    """`directory`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(directory or default).expanduser()


def version(name: str, directory: str) -> pathlib.Path:
    """Returns the folder of the newest version of `DATASET` or `DATASET/CONFIG`.

    Raises:
      UserError: if it is not prepared, or several are that the name may mean.
    """
    parts = name.split("/")
    if len(parts) > 2 or not {"", ".", ".."}.isdisjoint(parts):
        raise UserError(
            f"data set {name!r}: give a name, DATASET or DATASET/CONFIG, as "
            f"qcs-jax prepare printed it; the folder where it is prepared is data.dir"
        )
    place = root(directory)
    base = place / name
    configs = sorted({version.parent for version in _versions(base, "*/*")})
    if len(configs) == 1:  # DATASET stands for its only prepared CONFIG
        base = configs[0]
    elif configs:
        names = ", ".join(f"{name}/{c.name}" for c in configs)
        raise UserError(
            f"several data sets {name!r} are prepared: set --config.data.name to one "
            f"of {names}"
        )
    versions = _versions(base, "*")
    if not versions:
        raise UserError(_how_to_prepare(name, place))
    return max(versions, key=lambda v: tuple(map(int, v.name.split("."))))


def missing(name: str, directory: str = "") -> str:
    """Says how to prepare a data set; "" if it is prepared."""
    try:
        version(name, directory)
    except UserError as error:
        return str(error)
    return ""


def _versions(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Complete versions; TFDS renames `incomplete.*` when it has written all."""
    paths = [path.parent for path in folder.glob(f"{pattern}/dataset_info.json")]
    return [path for path in paths if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]


def _how_to_prepare(name: str, place: pathlib.Path) -> str:
    versions = [*_versions(place, "*/*"), *_versions(place, "*/*/*")]
    others = sorted({v.parent.relative_to(place).as_posix() for v in versions})
    where = f" --data_dir={typed(str(place))}" if place != root() else ""
    known = f" (prepared there: {', '.join(others)})" if others else ""
    data_set, manuals = find(name), files.packaged("data")
    if data_set is None:
        makes = ", ".join(dict.fromkeys(map(folder_of, DATASETS)))
        return (
            f"data set {name!r} is not prepared in {place}{known}, and not one that "
            f"qcs-jax prepare makes: {makes}"
        )
    folder = "" if data_set.drawn else " --manual_dir=FOLDER"
    steps = []
    if data_set.published:  # by owners with terms to agree to
        manual = manuals / folder_of(name) / "README.md"
        steps = [
            f"get it from its owners: {manual} says where",
            "unpack what they send into a FOLDER",
        ]
    elif folder:
        manual = manuals / "README.md"
        steps = [f"see {manual} for the FOLDER that it is made from"]
    steps.append(f"qcs-jax prepare {name}{folder}{where}")
    lines = [f"  {i}. {step}" for i, step in enumerate(steps, start=1)]
    return "\n".join([f"data set {name!r} is not prepared in {place}{known}:", *lines])

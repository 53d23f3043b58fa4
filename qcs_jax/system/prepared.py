"""Where data sets that `qcs_jax.prepare` has written are, and how to have one.

Looks at names of folders alone, without TensorFlow Datasets.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex

from qcs_jax.system import datasets, files
from qcs_jax.system.errors import UserError


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
    where = f" --data_dir={shlex.quote(str(place))}" if place != root() else ""
    known = f" (prepared there: {', '.join(others)})" if others else ""
    data_set, manuals = datasets.find(name), files.packaged("data")
    folder = "" if data_set and data_set.drawn else " --manual_dir=FOLDER"
    steps = []
    if data_set and data_set.published:  # by owners with terms to agree to
        manual = manuals / datasets.folder_of(name) / "README.md"
        steps = [
            f"request it from its authors: {manual} says where",
            "unpack what they send into a FOLDER",
        ]
    elif folder:
        manual = manuals / "README.md"
        steps = [f"see {manual} for the FOLDER that it is made from"]
    steps.append(f"qcs-jax prepare {name}{folder}{where}")
    lines = [f"  {i}. {step}" for i, step in enumerate(steps, start=1)]
    return "\n".join([f"data set {name!r} is not prepared in {place}{known}:", *lines])

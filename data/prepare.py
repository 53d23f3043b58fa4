"""Prepares a dataset for training.

    python data/prepare.py synthetic_faces
    python data/prepare.py synthetic_faces/biased
    python data/prepare.py image_folder --manual_dir=~/pictures/pets
    python data/prepare.py image_folder --manual_dir=~/faces --test_fraction=0.2
    python data/prepare.py fer2013 --manual_dir=~/downloads/fer2013
    python data/prepare.py raf_db --manual_dir=~/downloads/raf-db
    python data/prepare.py affectnet/8 --manual_dir=~/downloads/affectnet

See data/README.md for what each dataset needs.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import re
import shlex
import signal
from collections.abc import Callable

from qcs_jax.system import command

if __name__ == "__main__":
    # Which imports this file, too, and says what to install where that fails.
    from qcs_jax.input import prepare

    command.start(prepare.main)

import generation
import integrity
import official
from affectnet import affectnet_dataset_builder
from fer2013 import fer2013_dataset_builder
from ferplus import ferplus_dataset_builder
from image_folder import folder as image_folder
from image_folder import image_folder_dataset_builder
from raf_db import raf_db_dataset_builder
from synthetic_faces import synthetic_faces_dataset_builder

from qcs_jax.system.errors import Interrupted, UserError


def main(argv: list[str] | None = None) -> int:
    """Prepares the dataset that the arguments name; returns the exit status."""
    args = _parse(argv)
    return command.run(lambda: _prepare(args))


def _prepare(args: argparse.Namespace) -> None:
    dataset, _, config = args.dataset.partition("/")
    if dataset not in _DATASETS:
        raise UserError(
            f"unknown dataset {args.dataset!r}: choose one of {', '.join(_DATASETS)}"
        )
    if args.drop_duplicates and dataset != "fer2013":
        raise UserError("--drop_duplicates is for fer2013: leave it out")
    if args.test_fraction is not None and dataset != "image_folder":
        raise UserError("--test_fraction is for image_folder: leave it out")
    try:
        _DATASETS[dataset](args, config)
    except KeyboardInterrupt:
        message = "error: interrupted, nothing was prepared; run again"
        raise Interrupted(signal.SIGINT, message) from None


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax prepare", description="Prepares a dataset for training."
    )
    parser.add_argument(
        "dataset", metavar="NAME[/CONFIG]", help=f"one of {', '.join(_DATASETS)}"
    )
    parser.add_argument(
        "--manual_dir", type=pathlib.Path, help="where your copy of the images is"
    )
    parser.add_argument(
        "--data_dir",
        type=pathlib.Path,
        default=_default_data_dir(),
        help="where prepared datasets are kept (default: $TFDS_DATA_DIR, else "
        "~/tensorflow_datasets)",
    )
    parser.add_argument("--name", help="of an image folder (default: that folder's)")
    parser.add_argument(
        "--test_fraction",
        type=float,
        help="part of every class to set apart for testing (image_folder, where the "
        "folder itself has no train and test)",
    )
    parser.add_argument(
        "--max_unreadable",
        type=int,
        default=10,
        help="stop when more images than this are unreadable (default: 10)",
    )
    parser.add_argument(
        "--drop_duplicates",
        action="store_true",
        help="leave training images out that are in another split, too (fer2013)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="prepare again what is prepared"
    )
    return parser.parse_args(argv)


def _default_data_dir() -> pathlib.Path:
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _synthetic_faces(args: argparse.Namespace, config: str) -> None:
    """Draws the synthetic faces."""
    for option in ("manual_dir", "name"):
        if getattr(args, option):
            raise UserError(
                f"synthetic_faces is drawn and needs no --{option}: leave it out"
            )
    builder_class = synthetic_faces_dataset_builder.Builder
    config = config or "balanced"
    builder = _builder(builder_class, args, config)
    with generation.exclusive(builder):
        if generation.is_prepared(builder) and not args.overwrite:
            print(f"{builder.title} is already prepared.\n")
            if not builder.groups.exists():
                print("It has no groups.csv: add --overwrite to prepare it with one.\n")
        else:
            generation.generate(builder)
    generation.summarize(builder)
    name = builder.title if config != "balanced" else ""
    _print_next_step(args, "demo", name)


def _official(
    builder_class: type[official.OfficialBuilder],
    recipe: str,
    args: argparse.Namespace,
    config: str,
) -> None:
    """Checks and stores a copy of a data set that others distribute."""
    if args.name:
        raise UserError(f"{builder_class.name} keeps its name: leave out --name")
    builder = _builder(builder_class, args, config)
    if args.drop_duplicates:
        builder.drop_duplicates = True
    official.prepare(
        builder,
        args.manual_dir,
        max_unreadable=args.max_unreadable,
        overwrite=args.overwrite,
    )
    _print_next_step(args, recipe.format(config=config))


def _builder(
    builder_class: type[generation.ImageBuilder],
    args: argparse.Namespace,
    config: str,
) -> generation.ImageBuilder:
    """Returns a builder of one of the configs that it has."""
    name, configs = builder_class.name, list(builder_class.builder_configs)
    if config and not configs:
        raise UserError(f"{name} has no configs: leave out /{config}")
    if configs and config not in configs:
        problem = f"has no config {config!r}" if config else "needs a config"
        choice = ", ".join(f"{name}/{known}" for known in configs)
        raise UserError(f"{name} {problem}: choose one of {choice}")
    return builder_class(
        config=config or None, data_dir=_data_dir(args), file_format="array_record"
    )


def _image_folder(args: argparse.Namespace, config: str) -> None:
    """Checks and stores a folder of images."""
    if not args.manual_dir:
        raise UserError(
            "image_folder needs --manual_dir=FOLDER, the folder that holds train and "
            "test, or the classes"
        )
    if config and args.name and config != args.name:
        raise UserError(f"two names, {config!r} and --name={args.name}: give only one")
    name = args.name or config or image_folder.default_name(args.manual_dir)
    if not re.fullmatch("[a-z0-9_]+", name):
        raise UserError(
            f"the name {name!r} must consist of a-z, 0-9 and _: choose another --name"
        )
    folder = image_folder.scan(args.manual_dir, args.test_fraction)
    builder = _folder_builder(args, name, folder)
    with generation.exclusive(builder):
        if generation.is_prepared(builder) and not args.overwrite:
            _check_unchanged(builder, folder)
            print(f"{builder.title} is already prepared.\n")
        else:
            readable = _leave_out_unreadable(args, builder, folder)
            if readable.division:
                print(readable.division)
            builder = _folder_builder(args, name, readable)
            generation.generate(builder)
    generation.summarize(builder)
    _print_next_step(args, "folder", builder.title)


def _folder_builder(
    args: argparse.Namespace, name: str, folder: image_folder.Folder
) -> image_folder_dataset_builder.Builder:
    config = image_folder_dataset_builder.ImageFolderConfig(name=name, folder=folder)
    return image_folder_dataset_builder.Builder(
        config=config, data_dir=_data_dir(args), file_format="array_record"
    )


def _check_unchanged(
    builder: generation.ImageBuilder, folder: image_folder.Folder
) -> None:
    """Refuses to pass off an older state of a folder as prepared."""
    path = builder.data_path / image_folder_dataset_builder.FINGERPRINT_FILE
    text = path.read_bytes().decode("utf-8", "surrogateescape") + "\n"
    fingerprint, root, fraction = text.split("\n")[:3]
    if fingerprint == folder.fingerprint:
        return
    other = ""
    if root != str(folder.root):
        other = f"from {root}"
    elif fraction and fraction != str(folder.test_fraction):
        other = f"with --test_fraction={fraction}"
    if other:
        raise UserError(
            f"{builder.title} is already prepared, {other}: choose another --name, or "
            f"replace it with --overwrite"
        )
    raise UserError(
        f"{folder.root} has changed since {builder.title} was prepared: prepare it "
        f"again with --overwrite"
    )


def _leave_out_unreadable(
    args: argparse.Namespace,
    builder: generation.ImageBuilder,
    folder: image_folder.Folder,
) -> image_folder.Folder:
    """Decodes every image once; prints what is left out or odd."""
    for what in folder.ignored[:3]:
        print(f"ignored, not an image file: {what}")
    if len(folder.ignored) > 3:
        print(f"... and {len(folder.ignored) - 3} more such files")
    unreadable = list(integrity.find_unreadable(folder.paths))
    integrity.report_unreadable(unreadable, args.max_unreadable, builder.report)
    if unreadable:
        skipped = f"skipped {len(unreadable)} unreadable images"
        print(f"{skipped}, listed in {builder.report}")
    folder = folder.without(unreadable)
    for label, name in enumerate(folder.class_names):
        if folder.count("train", label) == 1:
            print(f"warning: class {name!r} has a single training image")
    return folder


def _data_dir(args: argparse.Namespace) -> pathlib.Path:
    return args.data_dir.expanduser().resolve()


def _print_next_step(args: argparse.Namespace, recipe: str, name: str = "") -> None:
    """Prints the command that trains."""
    flags = f"--config={recipe}"
    if name:
        flags += f" --config.data.name={name}"
    where = _data_dir(args)
    if where != _default_data_dir().expanduser().resolve():
        flags += f" --config.data.dir={shlex.quote(str(where))}"
    print(f"Next: qcs-jax train {flags}")


_DATASETS: dict[str, Callable[[argparse.Namespace, str], None]] = {
    "synthetic_faces": _synthetic_faces,
    "image_folder": _image_folder,
    "raf_db": functools.partial(_official, raf_db_dataset_builder.Builder, "raf"),
    "fer2013": functools.partial(_official, fer2013_dataset_builder.Builder, "fer2013"),
    "ferplus": functools.partial(_official, ferplus_dataset_builder.Builder, "ferplus"),
    "affectnet": functools.partial(
        _official, affectnet_dataset_builder.Builder, "affectnet{config}"
    ),
}

"""`qcs-jax prepare`: its arguments, and what each kind of data set does with them."""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import signal
from collections.abc import Sequence

from qcs_jax.system.command import typed
from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import Interrupted, UserError

from . import generation, integrity, official
from .affectnet import affectnet_dataset_builder
from .fer2013 import fer2013_dataset_builder
from .ferplus import ferplus_dataset_builder
from .image_folder import folder as image_folder
from .image_folder import image_folder_dataset_builder
from .raf_db import raf_db_dataset_builder
from .synthetic_faces import synthetic_faces_dataset_builder

_BUILDERS: dict[str, type[generation.ImageBuilder]] = {
    "synthetic_faces": synthetic_faces_dataset_builder.Builder,
    "image_folder": image_folder_dataset_builder.Builder,
    "raf_db": raf_db_dataset_builder.Builder,
    "fer2013": fer2013_dataset_builder.Builder,
    "ferplus": ferplus_dataset_builder.Builder,
    "affectnet": affectnet_dataset_builder.Builder,
}
_ONLY_FOR = {
    "name": "image_folder",
    "test_fraction": "image_folder",
    "drop_duplicates": "fer2013",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares the dataset that the arguments name."""
    args = _parse(argv)
    dataset, _, config = args.dataset.partition("/")
    if dataset not in _BUILDERS:
        raise UserError(
            f"unknown dataset {args.dataset!r}: choose one of {', '.join(_BUILDERS)}"
        )
    for option, only in _ONLY_FOR.items():
        if getattr(args, option) not in (None, False) and dataset != only:
            raise UserError(f"--{option} is for {only}: leave it out")
    try:
        if dataset == "synthetic_faces":
            builder = _synthetic_faces(args, config or "balanced")
        elif dataset == "image_folder":
            builder = _image_folder(args, config)
        else:
            builder = _official(args, dataset, config)
    except KeyboardInterrupt:
        message = "error: interrupted, nothing was prepared; run again"
        raise Interrupted(signal.SIGINT, message) from None
    _print_next_step(args, builder)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax prepare", description="Prepares a dataset for training."
    )
    parser.add_argument(
        "dataset", metavar="NAME[/CONFIG]", help=f"one of {', '.join(_BUILDERS)}"
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


def _synthetic_faces(args: argparse.Namespace, config: str) -> generation.ImageBuilder:
    """Draws the synthetic faces."""
    if args.manual_dir:
        raise UserError(
            "synthetic_faces is drawn and needs no --manual_dir: leave it out"
        )
    builder = _builder(args, "synthetic_faces", config)
    with generation.exclusive(builder):
        if generation.is_prepared(builder) and not args.overwrite:
            print(f"{builder.title} is already prepared.\n")
            if not builder.groups.exists():
                print("It has no groups.csv: add --overwrite to prepare it with one.\n")
        else:
            generation.generate(builder)
    generation.summarize(builder)
    return builder


def _official(
    args: argparse.Namespace, dataset: str, config: str
) -> generation.ImageBuilder:
    """Checks and stores a copy of a data set that others distribute."""
    builder = _builder(args, dataset, config)
    assert isinstance(builder, official.OfficialBuilder)
    if isinstance(builder, fer2013_dataset_builder.Builder):
        builder.drop_duplicates = args.drop_duplicates
    builder.max_unreadable = args.max_unreadable
    official.prepare(builder, args.manual_dir, overwrite=args.overwrite)
    return builder


def _builder(
    args: argparse.Namespace, dataset: str, config: str
) -> generation.ImageBuilder:
    """Returns a builder of one of the configs that it has."""
    builder_class = _BUILDERS[dataset]
    configs = list(builder_class.builder_configs)
    if config and not configs:
        raise UserError(f"{dataset} has no configs: leave out /{config}")
    if configs and config not in configs:
        problem = f"has no config {config!r}" if config else "needs a config"
        choice = ", ".join(f"{dataset}/{known}" for known in configs)
        raise UserError(f"{dataset} {problem}: choose one of {choice}")
    return builder_class(
        config=config or None,
        data_dir=_data_dir(args),
        file_format=generation.FILE_FORMAT,
    )


def _image_folder(args: argparse.Namespace, config: str) -> generation.ImageBuilder:
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
    builder = image_folder_dataset_builder.of_folder(name, folder, _data_dir(args))
    with generation.exclusive(builder):
        if generation.is_prepared(builder) and not args.overwrite:
            builder.check_unchanged()
            print(f"{builder.title} is already prepared.\n")
        else:
            folder = _leave_out_unreadable(args, builder, folder)
            if folder.division:
                print(folder.division)
            builder = image_folder_dataset_builder.of_folder(
                name, folder, _data_dir(args)
            )
            generation.generate(builder)
    generation.summarize(builder)
    return builder


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


def _print_next_step(
    args: argparse.Namespace, builder: generation.ImageBuilder
) -> None:
    """Prints the command that trains."""
    flags = f"--config={builder.known.recipe}"
    if builder.title not in (*DATASETS, "synthetic_faces/balanced"):  # the recipe's
        flags += f" --config.data.name={builder.title}"
    where = _data_dir(args)
    if where != _default_data_dir().expanduser().resolve():
        flags += f" --config.data.dir={typed(str(where))}"
    print(f"Next: qcs-jax train {flags}")

"""Converts checkpoints between Orbax and PyTorch, without PyTorch.

qcs-jax convert model_best.pth --out=DIR
qcs-jax convert RUN --to-torch --out=model.pth
"""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import re
import shlex
import sys
import textwrap
from typing import Any

from qcs_jax import checkpoint, models
from qcs_jax.config import FIELDS, base_config
from qcs_jax.convert.conversion import Conversion, default_residual, read_pth, to_torch
from qcs_jax.convert.orbax_writer import ASSUMED, check_target, save_orbax
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.images.datasets import CLASS_NAMES
from qcs_jax.system import command, files
from qcs_jax.system.errors import UserError

# Data sets whose recipe trains networks of all sizes.
_RECIPES = {
    "raf_db": "raf",
    "ferplus": "ferplus",
    "affectnet/7": "affectnet7",
    "affectnet/8": "affectnet8",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    write = _write_pth if args.to_torch else _write_orbax
    return command.run(lambda: write(args))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax convert",
        description="Converts checkpoints between Orbax and PyTorch.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        help=".pth; or what predict takes (--to-torch)",
    )
    add("--out", required=True, type=os.path.abspath, help="folder or file to write")
    add("--to-torch", "--to_torch", action="store_true", help="write a .pth file")
    add("--overwrite", action="store_true", help="replace an earlier conversion")
    add(
        "--residual",
        choices=FIELDS["model.residual"].choices,
        help="what the network was trained with; default: as published",
    )
    add("--class_names", metavar="A,B,...", help="in the order of the logits")
    add("--resize", type=int, metavar="PIXELS", help="side of images before the crop")
    args = parser.parse_args(argv)
    about_faces = (args.residual, args.class_names, args.resize)
    given = any(value is not None for value in about_faces)
    if given and args.to_torch:
        parser.error("--residual, --class_names and --resize are for .pth files alone")
    return args


def _write_orbax(args: argparse.Namespace) -> None:
    out = pathlib.Path(args.out)
    check_target(out, args.overwrite)  # before the work
    if os.path.isdir(args.checkpoint):
        raise UserError(
            f"{args.checkpoint} is a folder: to write .pth, add --to-torch; what else "
            f"can be written, qcs-jax export says"
        )
    conversion = read_pth(args.checkpoint)
    print(f"{args.checkpoint}:")
    _print_summary(conversion)
    _check_usable(args.checkpoint, conversion)
    network, count = conversion.network, conversion.sizes.num_classes
    residual = args.residual or default_residual(network, count)
    if network != "baseline":
        how = "as given" if args.residual else "as published; --residual sets it"
        print(f"  residual   {residual} ({how})")
    class_names, resize = _faces(args, conversion)
    print(f"  classes    {', '.join(class_names)}")
    print(f"  images     resized to {resize}x{resize} before the crop")
    save_orbax(out, conversion, residual, class_names, resize, args.overwrite)
    print(
        f"wrote {out}, next:\n"
        f"  qcs_jax.load({str(out)!r}).predict('face.jpg')\n"
        f"  {_how_to_train(out, conversion, class_names, resize)}"
    )


def _how_to_train(
    out: pathlib.Path, c: Conversion, class_names: tuple[str, ...], resize: int
) -> str:
    """The command that goes on from a checkpoint; its flags, if there is no recipe."""
    start = f"--config.init_from={shlex.quote(str(out))}"
    for data_set, recipe in _RECIPES.items():
        if CLASS_NAMES[data_set] == class_names:
            size = "" if c.size_name == "full" else f",{c.size_name}"
            train = "qcs-jax train"
            return f"{train} --config={recipe}:{c.network}{size} {start}"
    return (
        f"to train from it: {start} --config.model.name={c.network} "
        f"--config.model.size={c.size_name} --config.data.resize={resize}"
    )


def _check_usable(path: str, conversion: Conversion) -> None:
    """Raises UserError for what converts, but does not make a network of its own."""
    if conversion.network == "backbone":
        raise UserError(
            f"{path} is the backbone alone, which cannot predict. Training starts from "
            f"the file as it is: --config.init_from={shlex.quote(path)}"
        )
    if not conversion.size_name:
        raise UserError(
            f"{path} is of a size that no configuration has (sizes are "
            f"{', '.join(models.SIZES)}), and weights do not show everything about a "
            f"size. Use qcs_jax.convert.from_torch and models.create in Python"
        )


def _faces(args: argparse.Namespace, c: Conversion) -> tuple[tuple[str, ...], int]:
    """Class names and size of the training images: as given, or assumed, and told."""
    count = c.sizes.num_classes
    data_set, names, assumed_resize = ASSUMED.get(count, ("", (), 224))
    image_size = models.SIZES[c.size_name]["image_size"]
    if args.class_names is not None:
        names = tuple(name.strip() for name in args.class_names.split(","))
    elif names:
        print(
            f"warning: weights do not name their classes: assumed those of {data_set}. "
            f"For another data set give --class_names (in the order of its labels) and "
            f"--resize",
            file=sys.stderr,
        )
    if len(names) != count or len(set(names)) < count or not all(names):
        raise UserError(
            f"--class_names: give {count} different names, as many as the network has "
            f"classes, in the order of the logits"
        )
    resize = args.resize
    if resize is None:
        resize = assumed_resize if c.size_name == "full" else image_size
    bounds = FIELDS["data.resize"].range
    assert bounds  # it is a number
    if not image_size <= resize <= bounds[1]:
        raise UserError(f"--resize={resize}: give {image_size} to {bounds[1]}")
    return names, resize


def _write_pth(args: argparse.Namespace) -> None:
    out = _free_file(args)
    variables, description, step = checkpoint.load_variables(args.checkpoint)
    state_dict = to_torch(variables)
    model = description["config"]["model"]
    classes = len(variables["params"]["base"]["vit"]["head"]["bias"])
    print(f"{args.checkpoint}, step {step}:")
    print(f"  holds      {model['name']}, {model['size']} size, {classes} classes")
    print(f"{'':13}{_counts(variables)}")
    published = base_config().model.to_dict()
    published["residual"] = default_residual(model["name"], classes)
    for field in ("size", "interaction", "information", "gamma", "residual"):
        if model[field] != published[field]:
            print(
                f"  note       {field} is {model[field]!r}, the published code has "
                f"{published[field]!r}: it must be changed to give the same results"
            )
    strict = ""
    if model["name"] != "baseline" and "cross" not in variables["params"]:
        print("  note       it is the base branch alone, without the cross branch")
        strict = ", strict=False"
    with files.parents(out):
        save_pth(out, state_dict)
    print(
        f"wrote {out}, next, in PyTorch:\n"
        f"  model.load_state_dict(torch.load({str(out)!r}, weights_only=True){strict})"
    )


def _free_file(args: argparse.Namespace) -> pathlib.Path:
    """The file to write; raises UserError for a folder, or what may not be replaced."""
    out = pathlib.Path(args.out)
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the file to write")
    if out.exists() and not args.overwrite:
        raise UserError(f"{out} exists: give another --out or --overwrite")
    return out


def _print_summary(c: Conversion) -> None:
    """Recognised, mapped, ignored, and how many parameters that are."""
    size = {"full": "published size", "": "a size without a name"}
    what = f"{c.network}, {size.get(c.size_name, f'{c.size_name} size')}"
    if c.network == "backbone":
        what = f"backbone alone, {'-'.join(map(str, c.sizes.units))} units"
    else:
        what += f", {c.sizes.num_classes} classes"
    print(f"  recognised {what}")
    for note in c.notes:
        print(f"{'':13}{note}")
    print(f"  mapped     {len(c.mapped)} arrays: {_counts(c.variables)}")
    print(
        f"  ignored    {len(c.ignored)} arrays, {c.ignored_parameters:,} parameters "
        f"of parts that are never used"
    )
    for groups in textwrap.wrap(_grouped(c.ignored), 75):
        print(f"{'':13}{groups}")


def _counts(variables: dict[str, Any]) -> str:
    base = models.count({"params": variables["params"]["base"]})
    text = f"{models.count(variables):,} parameters"
    cross = "cross" in variables["params"]
    return f"{text}, {base:,} of the base branch" if cross else text


def _grouped(keys: tuple[str, ...]) -> str:
    """Modules with the number of their arrays; numbers in names become `*`."""
    groups: collections.Counter[str] = collections.Counter()
    for key in keys:
        module, _, leaf = key.removeprefix("module.").rpartition(".")
        counter = leaf == "num_batches_tracked"
        groups[f"*.{leaf}" if counter else re.sub(r"\.[0-9]+", ".*", module)] += 1
    return ", ".join(f"{name} ({count})" for name, count in groups.items())


if __name__ == "__main__":
    command.start(main)

"""Converts checkpoints between Orbax and PyTorch, without PyTorch.

qcs-jax convert model_best.pth --out=DIR
qcs-jax convert RUN --to-torch --out=model.pth
qcs-jax convert face_recognition_model-weights_manifest.json --images=FOLDER \\
    --out=faces.safetensors
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from qcs_jax import checkpoint, models
from qcs_jax.checkpoint import weights
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import FIELDS, base_config
from qcs_jax.convert import (
    BACKBONE,
    Conversion,
    default_residual,
    faces,
    read_pth,
    to_torch,
)
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.images.augment import preprocess
from qcs_jax.images.decode import decode, images_below
from qcs_jax.system import command, files
from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

# Number of classes -> the data set that a published checkpoint is assumed to be of, and
# the side of its images before the centre crop.
ASSUMED = {7: ("RAF-DB", "raf_db", 224), 8: ("AffectNet", "affectnet/8", 236)}

_MEASURED = 1024  # images that norms are measured on, at most


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    write = _write_pth if args.to_torch else _write_orbax
    if args.checkpoint.endswith(faces.SUFFIX):
        write = _write_backbone
    return command.run(lambda: write(args))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax convert",
        description="Converts checkpoints between Orbax and PyTorch.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help=".pth, .json; or what predict takes")
    add("--out", required=True, type=os.path.abspath, help="folder or file to write")
    add("--to-torch", "--to_torch", action="store_true", help="write .pth, not read it")
    add("--overwrite", action="store_true", help="replace an earlier conversion")
    add(
        "--residual",
        choices=FIELDS["model.residual"].choices,
        help="what the network was trained with; default: as published",
    )
    add("--class_names", metavar="A,B,...", help="in the order of the logits")
    add("--resize", type=int, metavar="PIXELS", help="side of images before the crop")
    add("--images", metavar="FOLDER", help="of faces: norms of a .json are measured")
    args = parser.parse_args(argv)
    args.out = pathlib.Path(args.out)
    if bool(args.images) != args.checkpoint.endswith(faces.SUFFIX):
        parser.error("--images=FOLDER is for the manifest of face-api, which needs it")
    about_faces = (args.residual, args.class_names, args.resize)
    if args.to_torch and any(value is not None for value in about_faces):
        parser.error("--residual, --class_names and --resize are for .pth files alone")
    others = (args.residual, args.class_names, args.to_torch or None)
    if args.images and any(value is not None for value in others):
        parser.error("a manifest takes --out, --images, --resize, --overwrite alone")
    return args


def _write_orbax(args: argparse.Namespace) -> None:
    """Writes `checkpoints/0` as training would have saved it; all of it or nothing."""
    _check_target(args.out, args.overwrite)  # before the work
    if os.path.isdir(args.checkpoint):
        raise UserError(
            f"{args.checkpoint} is a folder: to write .pth, add --to-torch; what else "
            f"can be written, qcs-jax export says"
        )
    conversion = read_pth(args.checkpoint)
    print(f"{args.checkpoint}:")
    _print_summary(conversion)
    _check_usable(args.checkpoint, conversion)
    network, size = conversion.network, conversion.size_name
    config = base_config()
    config.name = args.out.name
    config.model.update({"name": network, "size": size})
    published = default_residual(network, conversion.model.num_classes)
    config.model.residual = args.residual or published
    class_names, resize = _faces(args, conversion)
    config.data.resize = resize
    if network != "baseline":
        how = "as given" if args.residual else "as published; --residual sets it"
        print(f"  residual   {config.model.residual} ({how})")
    print(f"  classes    {', '.join(class_names)}")
    print(f"  images     resized to {resize}x{resize} before the crop")

    image_size = models.SIZES[size]["image_size"]
    description = describe(config, class_names, image_size)
    # Training resumes with Adam, whose fresh state does not depend on its settings.
    opt_state = optax.adam(1.0).init(conversion.variables["params"])
    train = {"step": np.int32(0), "opt_state": opt_state}
    with (
        files.new_folder(args.out) as folder,
        Checkpoints(folder, keep=1, metric="accuracy") as checkpoints,
    ):
        checkpoints.save(0, {**conversion.variables, "train": train}, description)
    print(
        f"wrote {args.out}, next:\n"
        f"  qcs_jax.load({str(args.out)!r}).predict('face.jpg')\n"
        f"  to train from it: --config.init_from={command.typed(str(args.out))} "
        f"--config.model.name={network} --config.model.size={size} "
        f"--config.model.residual={config.model.residual} --config.data.resize={resize}"
    )


def _check_target(out: pathlib.Path, overwrite: bool) -> None:
    """Raises UserError unless `out` is free, or an earlier conversion to replace."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is not a folder: give another --out")
    names = [child.name for child in out.glob("*")]
    steps = [child.name for child in (out / checkpoint.FOLDER).glob("*")]
    if names and (names != [checkpoint.FOLDER] or steps != ["0"]):
        raise UserError(f"{out} is no earlier conversion: give another --out")
    if names and not overwrite:
        raise UserError(f"{out} holds a checkpoint: give another --out or --overwrite")


def _check_usable(path: str, conversion: Conversion) -> None:
    """Raises UserError for what converts, but does not make a network of its own."""
    if conversion.network == BACKBONE:
        raise UserError(
            f"{path} is the backbone alone, which cannot predict. Training starts from "
            f"the file as it is: --config.init_from={command.typed(path)}"
        )
    if not conversion.size_name:
        raise UserError(
            f"{path} is of a size that no configuration has (sizes are "
            f"{', '.join(models.SIZES)}): use qcs_jax.convert.from_torch in Python"
        )


def _faces(args: argparse.Namespace, c: Conversion) -> tuple[tuple[str, ...], int]:
    """Class names and size of the training images, from flags or assumed."""
    count, image_size = c.model.num_classes, models.SIZES[c.size_name]["image_size"]
    title, data_set, published = ASSUMED.get(count, ("", "", 224))
    names: tuple[str, ...] = ()
    if args.class_names is not None:
        names = tuple(name.strip() for name in args.class_names.split(","))
    elif data_set:
        names = DATASETS[data_set].class_names
        print(
            f"warning: weights do not name their classes: assumed those of {title}. "
            f"For another data set give --class_names (in the order of its labels) and "
            f"--resize",
            file=sys.stderr,
        )
    if len(names) != count or len(set(names)) < count or not all(names):
        raise UserError(
            f"--class_names: give {count} different names, as many as the network has "
            f"classes, in the order of the logits"
        )
    published = published if c.size_name == "full" else image_size
    return names, _resize(args, image_size, published)


def _resize(args: argparse.Namespace, image_size: int, default: int) -> int:
    """Returns what --resize says, in its range."""
    resize = default if args.resize is None else args.resize
    _, largest = FIELDS["data.resize"].range or (0, resize)
    if not image_size <= resize <= largest:
        raise UserError(f"--resize={resize}: give {image_size} to {largest}")
    return resize


def _write_pth(args: argparse.Namespace) -> None:
    out = args.out
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the file to write")
    if out.exists() and not args.overwrite:
        raise UserError(f"{out} exists: give another --out or --overwrite")
    variables, description, step = checkpoint.load_variables(args.checkpoint)
    model = description["config"]["model"]
    if not models.is_published(model["size"]):
        raise UserError(
            f"{args.checkpoint} is of size {model['size']}, whose backbone the "
            f"published code does not have: qcs-jax export has other formats"
        )
    state_dict = to_torch(variables)
    classes = len(variables["params"]["base"]["vit"]["head"]["bias"])
    print(f"{args.checkpoint}, step {step}:")
    print(f"  holds      {model['name']}, {model['size']} size, {classes} classes")
    print(f"{'':13}{_counts(variables)}")
    published = base_config().model.to_dict()
    published["residual"] = default_residual(model["name"], classes)
    for field in ("size", "grey", "interaction", "information", "gamma", "residual"):
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


def _write_backbone(args: argparse.Namespace) -> None:
    """Writes face-api's network as a file of weights that training starts from."""
    if args.out.suffix != weights.SUFFIX:
        raise UserError(f"{args.out}: give a name that ends in {weights.SUFFIX}")
    if args.out.exists() and not args.overwrite:
        raise UserError(f"{args.out} exists: give another --out or --overwrite")
    config = base_config()
    config.name, config.model.size = args.out.stem, "medium"
    side = models.SIZES["medium"]["image_size"]
    config.data.resize = _resize(args, side, side)
    arrays = faces.read_manifest(args.checkpoint)
    pixels = _some_pixels(args.images, config.data.resize)
    seen = np.asarray(preprocess(jnp.stack(pixels), side))
    variables = faces.backbone_of(arrays, seen)
    description = describe(config, (), side) | {"step": 0}
    with files.parents(args.out):
        weights.save(args.out, variables, description, dtype="int8")
    print(
        f"{args.checkpoint}:\n"
        f"  holds      the backbone of size medium\n"
        f"{'':13}{_counts(variables)}\n"
        f"  norms      measured on {len(pixels)} images of {args.images}\n"
        f"wrote {args.out}, next, to train from it:\n"
        f"  --config.init_from={command.typed(str(args.out))} "
        f"--config.model.size=medium"
    )


def _some_pixels(folder: str, side: int) -> list[np.ndarray]:
    """Decodes images below a folder, `_MEASURED` at most, from all of its parts."""
    paths, pixels = [*images_below(folder)], []
    if not paths:
        raise UserError(f"--images={folder} has no images")
    for path in paths[:: math.ceil(len(paths) / _MEASURED)]:
        try:
            pixels.append(decode(pathlib.Path(path).read_bytes(), side))
        except OSError as error:
            raise UserError(f"{path}: {error}") from None
    return pixels


def _print_summary(c: Conversion) -> None:
    """Recognised, mapped, ignored, and how many parameters that are."""
    size = f"{c.size_name or 'unknown'} size, {c.model.num_classes} classes"
    if c.network == BACKBONE:
        size = f"{'-'.join(map(str, c.model.units))} units"
    print(f"  recognised {c.network}, {size}")
    print(f"  mapped     {_counts(c.variables)}")
    print(
        f"  ignored    {len(c.ignored)} arrays, {c.ignored_parameters:,} parameters "
        f"of parts that are never used"
    )


def _counts(variables: dict[str, Any]) -> str:
    base = models.count({"params": variables["params"]["base"]})
    text = f"{models.count(variables):,} parameters"
    cross = "cross" in variables["params"]
    return f"{text}, {base:,} of the base branch" if cross else text


if __name__ == "__main__":
    command.start(main)

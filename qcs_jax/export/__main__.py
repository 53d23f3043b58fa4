"""Exports the base branch of a checkpoint.

python -m qcs_jax.export --checkpoint=RUN --format=savedmodel --out=models/fer/1
python -m qcs_jax.export --checkpoint=RUN --format=stablehlo --out=fer_stablehlo
python -m qcs_jax.export --checkpoint=RUN --format=tflite --quantize=int8 --out=fer_lite

The result is read back from disk and compared with the network before it gets its name.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
from typing import Any

import jax

from qcs_jax.checkpoint import Trained
from qcs_jax.export import check, noise, savedmodel, stablehlo, tflite
from qcs_jax.export.served import Served
from qcs_jax.images.folder import labelled_images
from qcs_jax.system import command, compilation_cache, files
from qcs_jax.system.errors import UserError

FORMATS = {"savedmodel": savedmodel, "stablehlo": stablehlo, "tflite": tflite}

# LiteRT is no faster without batch normalisation, and its converter would write out the
# map of each `folded.Shift`: 11 MB at the published size.
UNFOLDED = ("tflite",)

# Bounds for `check.largest_difference`. Weights of 16 and of 8 bits differ by what they
# differ: their bounds only catch what is broken.
EXACT = {"savedmodel": 1e-5, "stablehlo": 1e-5, "tflite": 1e-4}
QUANTIZED = {"float16": 0.05, "int8": 0.5}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    with contextlib.nullcontext() if args.format == "stablehlo" else noise.left_out():
        return command.run(lambda: _export(args))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=command.name("export"),
        description="Exports the base branch of a checkpoint.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="RUN", help="workdir of a run")
    add("--format", required=True, choices=FORMATS)
    add("--out", required=True, type=pathlib.Path, help="folder to write")
    add(
        "--preprocess",
        action="store_true",
        default=True,
        help="take uint8 images; crop and normalise inside (default)",
    )
    add(
        "--nopreprocess",
        "--no-preprocess",
        dest="preprocess",
        action="store_false",
        help="take float32 images, cropped and normalised",
    )
    add("--quantize", choices=tflite.QUANTIZE, help="weights of a tflite; default none")
    add(
        "--images",
        type=pathlib.Path,
        metavar="FOLDER",
        help="measure the accuracy on FOLDER/CLASS/*.jpg, beside that of the network",
    )
    args = parser.parse_args(argv)
    if args.quantize and args.format != "tflite":
        parser.error("--quantize is for --format=tflite")
    return args


def _export(args: argparse.Namespace) -> None:
    _check_free(args.out)  # before the work, as the next one
    if args.format != "stablehlo":
        savedmodel.import_tensorflow()
    compilation_cache.enable()
    trained = Trained.load(args.checkpoint, branch="base")
    # What the export is compared with is the network as it was trained.
    network = Served.of(trained, preprocess=args.preprocess, folded=False)
    served = network
    if args.format not in UNFOLDED:
        served = Served.of(trained, preprocess=args.preprocess)
    photographs = None
    if args.images:
        photographs = labelled_images(
            args.images, served.class_names, every_class=False
        )
    _describe(args, served)
    if trained.model.dtype != served.model.dtype:
        print("  note       the network computes in bfloat16, its export in float32")

    exporter: Any = FORMATS[args.format]
    options = {"quantize": args.quantize} if args.quantize else {}
    tolerance = QUANTIZED.get(args.quantize, EXACT[args.format])
    with files.new_folder(args.out) as folder:
        exporter.write(served, folder, **options)
        exported = exporter.load(folder)
        difference = check.largest_difference(network, exported, tolerance)
        print(
            f"  check      {sum(check.BATCHES)} random images: logits differ by "
            f"at most {difference:.1e} (allowed {tolerance:.1e})"
        )
        if photographs:
            accuracy = check.measure(network, exported, *photographs)
            print(
                f"  accuracy   {accuracy.exported:.2%} of {accuracy.count} images; "
                f"the network {accuracy.network:.2%}; both give the same class for "
                f"{accuracy.agreement:.2%}"
            )
        _check_free(args.out)  # still: it would be replaced
    size = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file())
    print(f"wrote {args.out}, {size / 1e6:.1f} MB")


def _describe(args: argparse.Namespace, served: Served) -> None:
    side = served.image_shape[0]
    batch = 1 if args.format == "tflite" else "b"
    meaning = (
        f"RGB, resized to {side}x{side}; cropped and normalised inside"
        if served.preprocess
        else "RGB, cropped and normalised"
    )
    print(
        f"{args.checkpoint}:\n"
        f"  images     {served.image_dtype}[{batch}, {side}, {side}, 3]: {meaning}\n"
        f"  logits, probabilities  float32[{batch}, {len(served.class_names)}]: "
        f"{', '.join(served.class_names)}"
    )


def _check_free(out: pathlib.Path) -> None:
    """Raises UserError unless there is nothing at `out`, or an empty folder."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out={out} is not a folder: give the name of a new one")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty: give another one, or remove it")


if __name__ == "__main__":
    # The check compares to rounding, which GPUs and TPUs do not compute to. What is
    # exported is the same program on any machine.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    jax.config.update("jax_platforms", "cpu")
    command.start(main)

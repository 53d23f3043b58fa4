"""Exports a checkpoint: the base branch, or for `--whole` all of it.

qcs-jax export --checkpoint=RUN --format=onnx --out=fer_onnx
qcs-jax export --checkpoint=RUN --format=tflite --quantize=int8 --out=fer_lite
qcs-jax export --checkpoint=RUN --format=web --out=fer_page

The result is read back from disk and compared with the network before it gets its name.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
import shlex
from typing import Any

import numpy as np

from qcs_jax.checkpoint import AS_NAMED, Trained
from qcs_jax.export import (
    check,
    hub,
    noise,
    onnx,
    safetensors,
    savedmodel,
    stablehlo,
    tflite,
    web,
)
from qcs_jax.export.served import Served, calibrated
from qcs_jax.images.folder import labelled_images
from qcs_jax.system import command, compilation_cache, files, runtime
from qcs_jax.system.errors import UserError

FORMATS = {
    "savedmodel": savedmodel,
    "stablehlo": stablehlo,
    "tflite": tflite,
    "onnx": onnx,
    "safetensors": safetensors,
    "hub": hub,
    "web": web,
}
WITH_TENSORFLOW = ("savedmodel", "tflite")
# They write weights, which are as they were trained; the others write a function.
OF_WEIGHTS = ("safetensors", "hub")
QUANTIZE = {
    "tflite": ("float16", "int8"),
    "onnx": ("float16", "int8"),
    "safetensors": ("float16",),
    "hub": ("float16",),
    "web": ("float16",),
}

# LiteRT is no faster without batch normalisation, and its converter would write out the
# map of each `folded.Shift`: 11 MB at the published size.
UNFOLDED = ("tflite",)

_CALIBRATING = 256  # photographs at most


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    noisy = args.format in WITH_TENSORFLOW
    with noise.left_out() if noisy else contextlib.nullcontext():
        # The check compares to rounding, which GPUs and TPUs do not compute to. What
        # is exported is the same program on any machine.
        with runtime.on_cpu():
            return command.run(lambda: _export(args))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax export",
        description="Exports a checkpoint: the base branch, or all of it.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="RUN", help="what predict takes")
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
    add(
        "--quantize",
        choices=("none", "float16", "int8"),
        default="none",
        help="weights of fewer bits; int8 is for tflite and onnx",
    )
    add(
        "--images",
        type=pathlib.Path,
        metavar="FOLDER",
        help="measure the accuracy on FOLDER/CLASS/*.jpg, beside that of the network",
    )
    add(
        "--calibrate",
        action="store_true",
        help="divide the logits by the temperature that an evaluation measured",
    )
    add(
        "--whole",
        action="store_true",
        help="with the cross branch (safetensors, hub), for explain and for training",
    )
    add(
        "--runtime",
        type=pathlib.Path,
        metavar="FOLDER",
        help=f"npm's {web.PACKAGE} {web.VERSION}, unpacked (web); default: npm fetches",
    )
    args = parser.parse_args(argv)
    if problem := _misplaced(args):
        parser.error(problem)
    return args


def _misplaced(args: argparse.Namespace) -> str:
    """Says which flag is not for the format, or ""."""
    quantize = args.quantize
    if quantize != "none" and quantize not in QUANTIZE.get(args.format, ()):
        takes = [name for name, values in QUANTIZE.items() if quantize in values]
        return f"--quantize={quantize} is for --format={' or '.join(takes)}"
    if args.format == "onnx" and quantize == "int8" and not args.images:
        return "--quantize=int8 calibrates an onnx on photographs: give --images"
    if args.whole and args.format not in OF_WEIGHTS:
        return f"--whole is for --format={' or '.join(OF_WEIGHTS)}"
    if args.runtime and args.format != "web":
        return "--runtime is for --format=web"
    if not args.preprocess and args.format in (*OF_WEIGHTS, "web"):
        return f"--nopreprocess is not for --format={args.format}"
    return ""


def _export(args: argparse.Namespace) -> None:
    _check_free(args.out)  # before the work, as the next ones
    if args.format in WITH_TENSORFLOW:
        savedmodel.import_tensorflow()
    if args.format in ("onnx", "web"):
        onnx.check_installed()
    compilation_cache.enable()
    trained = _read(args)
    # What the export is compared with is the network as it was trained.
    network = Served.of(trained, preprocess=args.preprocess, folded=False)
    served = network
    if args.format not in UNFOLDED:
        served = Served.of(trained, preprocess=args.preprocess)
    photographs, options = None, _options(args, trained)
    if args.images:
        photographs = labelled_images(
            args.images, served.class_names, every_class=False
        )
        if "examples" in options:
            options["examples"], photographs = _divided(*photographs, served.resize)
    _describe(args, served)
    if "examples" in options:
        print(f"  calibrated on {len(options['examples'])} of the photographs")
    if trained.model.dtype != served.model.dtype:
        print("  note       the network computes in bfloat16, its export in float32")

    exporter: Any = FORMATS[args.format]
    tolerance = check.tolerance(args.format, args.quantize)
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
    print(f"wrote {args.out}, {size / 1e6:.1f} MB{_next(args)}")


def _read(args: argparse.Namespace) -> Trained:
    """The checkpoint, which says how its epoch was chosen."""
    trained = Trained.load(args.checkpoint, branch="" if args.whole else "base")
    lacks_cross = "cross" not in trained.variables["params"]
    if args.whole and lacks_cross and trained.model.branches > 1:
        raise UserError(
            f"{args.checkpoint} is a base branch alone, with no cross branch to write: "
            f"leave out --whole"
        )
    if trained.chosen != AS_NAMED:
        told = trained.description | {"chosen": trained.chosen}
        trained = dataclasses.replace(trained, description=told)
    return calibrated(trained) if args.calibrate else trained


def _options(args: argparse.Namespace, trained: Trained) -> dict[str, Any]:
    """What `write` of the format is given beside the network and the folder."""
    options: dict[str, Any] = {}
    if args.format in QUANTIZE:
        options["quantize"] = args.quantize
    if args.format in (*OF_WEIGHTS, "web"):
        options["trained"] = trained
    if args.format in ("hub", "web"):
        # A name need not be text, what is written about it is.
        options["name"] = os.fsencode(args.out.resolve().name).decode(errors="replace")
    if args.format == "web":
        options["runtime"] = args.runtime
    if args.format == "onnx" and args.quantize == "int8":
        options["examples"] = None  # of --images
    return options


def _divided(
    paths: list[pathlib.Path], labels: np.ndarray, side: int
) -> tuple[np.ndarray, tuple[list[pathlib.Path], np.ndarray]]:
    """Pixels of photographs to calibrate with; the others, to measure with."""
    if len(paths) < 2:
        raise UserError("--quantize=int8 needs two photographs or more")
    every = max(2, -(-len(paths) // _CALIBRATING))
    examples = np.stack([check.read(path, side) for path in paths[::every]])
    rest = np.arange(len(paths)) % every != 0
    return examples, ([paths[i] for i in np.flatnonzero(rest)], labels[rest])


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


def _next(args: argparse.Namespace) -> str:
    """What to do with it."""
    out = shlex.quote(str(args.out))
    how = {
        "safetensors": f"qcs_jax.load({str(args.out)!r}).predict('face.jpg')",
        "hub": f"hf upload OWNER/NAME {out}; qcs_jax.load('hf:OWNER/NAME')",
        "web": f"python -m http.server --directory {out}, and open "
        f"http://localhost:8000",
    }
    return f", next:\n  {how[args.format]}" if args.format in how else ""


def _check_free(out: pathlib.Path) -> None:
    """Raises UserError unless there is nothing at `out`, or an empty folder."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out={out} is not a folder: give the name of a new one")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty: give another one, or remove it")


if __name__ == "__main__":
    command.start(main)

"""Exports a checkpoint: the base branch, or for `--whole` all of it.

qcs-jax export --checkpoint=RUN --format=onnx --out=fer_onnx
qcs-jax export --checkpoint=RUN --format=tflite --quantize=int8 --out=fer_lite
qcs-jax export --checkpoint=RUN --format=web --out=fer_page

The result is read back from disk and compared with the network before it gets its name.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pathlib
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from qcs_jax.export import (
    check,
    hub,
    onnx,
    safetensors,
    savedmodel,
    stablehlo,
    tflite,
    web,
)
from qcs_jax.export.served import Options, Served, read_trained
from qcs_jax.images.folder import labelled_images
from qcs_jax.system import command, compilation_cache, files, runtime
from qcs_jax.system.errors import UserError

# Flags that not every format takes.
PLAIN, HALF, INT8 = "nopreprocess", "quantize=float16", "quantize=int8"
# They raise UserError unless the packages are installed.
TENSORFLOW, ONNX = savedmodel.import_tensorflow, onnx.check_installed


class Format(NamedTuple):
    """What the command has to know about a format."""

    module: Any  # that writes and loads it, see `served`
    tolerance: float  # to the network in float32, see `check`
    flags: tuple[str, ...]  # of `PLAIN`, `HALF`, `INT8`, "whole" and "runtime"
    needs: Callable[[], object] | None = None  # `TENSORFLOW` or `ONNX`
    folded: bool = True  # batch normalisation into the convolutions


FORMATS = {
    "savedmodel": Format(savedmodel, 1e-5, (PLAIN,), TENSORFLOW),
    "stablehlo": Format(stablehlo, 1e-5, (PLAIN,)),
    # Folded, LiteRT is no faster, and its converter would write out the map of each
    # `folded.Shift`: 11 MB at the published size.
    "tflite": Format(tflite, 1e-4, (PLAIN, HALF, INT8), TENSORFLOW, folded=False),
    "onnx": Format(onnx, onnx.TOLERANCE, (PLAIN, HALF, INT8), ONNX),
    "safetensors": Format(safetensors, 1e-6, ("whole", HALF)),
    "hub": Format(hub, 1e-6, ("whole", HALF)),
    "web": Format(web, onnx.TOLERANCE, ("runtime", HALF), ONNX),
}

# What to do with a folder: `{path}`, or `{quoted}` for a shell.
NEXT = {
    "safetensors": ", next:\n  qcs_jax.load({path!r}).predict('face.jpg')",
    "hub": ", next:\n  hf upload OWNER/NAME {quoted}; qcs_jax.load('hf:OWNER/NAME')",
    "web": ", next:\n  python -m http.server --directory {quoted}, "
    "and open http://localhost:8000",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    noisy = FORMATS[args.format].needs is TENSORFLOW
    with savedmodel.quiet() if noisy else contextlib.nullcontext():
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
    flag = functools.partial(add, action="store_true")
    folder = functools.partial(add, type=pathlib.Path, metavar="FOLDER")
    inside = "take uint8 images; crop and normalise inside (default)"
    flag("--preprocess", default=True, help=inside)
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
    folder("--images", help="measure the accuracy on FOLDER/CLASS/*.jpg")
    flag("--calibrate", help="divide the logits by the temperature of an evaluation")
    flag("--whole", help="with the cross branch, for explain and for training")
    npm = f"npm's {web.PACKAGE} {web.VERSION}, unpacked; default: npm fetches it"
    folder("--runtime", help=npm)
    args = parser.parse_args(argv)
    if problem := _misplaced(args):
        parser.error(problem)
    return args


def _misplaced(args: argparse.Namespace) -> str:
    """Says which flag is not for the format, or ""."""
    flags = {
        f"quantize={args.quantize}": args.quantize != "none",
        "nopreprocess": not args.preprocess,
        "whole": args.whole,
        "runtime": args.runtime is not None,
    }
    for flag in (flag for flag, is_set in flags.items() if is_set):
        takers = [name for name, format in FORMATS.items() if flag in format.flags]
        if args.format not in takers:
            return f"--{flag} is for --format={' or '.join(takers)}"
    if args.format == "onnx" and args.quantize == "int8" and not args.images:
        return "--quantize=int8 calibrates an onnx on photographs: give --images"
    return ""


def _export(args: argparse.Namespace) -> None:
    _check_free(args.out)  # before the work, as the next one
    format = FORMATS[args.format]
    if format.needs:
        format.needs()
    compilation_cache.enable()
    trained = read_trained(args.checkpoint, whole=args.whole, calibrate=args.calibrate)
    # What the export is compared with is the network as it was trained.
    network = served = Served.of(trained, preprocess=args.preprocess, folded=False)
    if format.folded:
        served = Served.of(trained, preprocess=args.preprocess)
    photographs = examples = None
    if args.images:
        names = served.class_names
        photographs = labelled_images(args.images, names, every_class=False)
        if args.format == "onnx" and args.quantize == "int8":
            shown, photographs = check.divided(*photographs)
            examples = check.read(shown, served.resize)
    _describe(args, served)
    if examples is not None:
        print(f"  calibrated on {len(examples)} of the photographs")
    if trained.model.dtype != served.model.dtype:
        print("  note       the network computes in bfloat16, its export in float32")

    # A name need not be text, what is written about it is.
    name = os.fsencode(args.out.resolve().name).decode(errors="replace")
    options = Options(args.quantize, trained, name, args.runtime, examples)
    tolerance = check.bound(format.tolerance, args.quantize)
    with files.new_folder(args.out) as folder:
        format.module.write(served, folder, options)
        exported = format.module.load(folder)
        difference = check.largest_difference(network, exported, tolerance)
        print(
            f"  check      {sum(check.BATCHES)} random images: logits differ by "
            f"at most {difference:.1e} (allowed {tolerance:.1e})"
        )
        if photographs:
            before, after, same = check.accuracies(network, exported, *photographs)
            print(
                f"  accuracy   {after:.2%} of {len(photographs[0])} images; the "
                f"network {before:.2%}; both give the same class for {same:.2%}"
            )
        _check_free(args.out)  # still: it would be replaced
    size = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file())
    path = str(args.out)
    next = NEXT.get(args.format, "").format(path=path, quoted=shlex.quote(path))
    print(f"wrote {args.out}, {size / 1e6:.1f} MB{next}")


def _check_free(out: pathlib.Path) -> None:
    """Raises UserError unless there is nothing at `out`, or an empty folder."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out={out} is not a folder: give the name of a new one")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty: give another one, or remove it")


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


if __name__ == "__main__":
    command.start(main)

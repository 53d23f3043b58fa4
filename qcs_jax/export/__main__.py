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
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from qcs_jax.checkpoint import Trained
from qcs_jax.export import (
    hub,
    onnx,
    safetensors,
    savedmodel,
    served,
    stablehlo,
    tflite,
    web,
)
from qcs_jax.images.decode import labelled_images
from qcs_jax.system import command, files, runtime
from qcs_jax.system.errors import UserError

# Flags that not every format takes.
PLAIN, HALF, INT8 = "nopreprocess", "quantize=float16", "quantize=int8"
# They raise UserError unless the packages are installed.
TENSORFLOW, ONNX = savedmodel.import_tensorflow, onnx.check_installed


class Format(NamedTuple):
    """What the command has to know about a format."""

    module: Any  # that writes and loads it, see `served`
    tolerance: float  # to the network in float32, see `served`
    flags: tuple[str, ...]  # of `PLAIN`, `HALF`, `INT8`, "whole" and "runtime"
    needs: Callable[[], object] | None = None  # `TENSORFLOW` or `ONNX`
    folded: bool = True  # batch normalisation into the convolutions


FORMATS = {
    "savedmodel": Format(savedmodel, 1e-5, (PLAIN,), TENSORFLOW),
    "stablehlo": Format(stablehlo, 1e-5, (PLAIN,)),
    # Folded, LiteRT is no faster, and its converter would write out the map of each
    # `convolution.Shift`: 11 MB at the published size.
    "tflite": Format(tflite, 1e-4, (PLAIN, HALF, INT8), TENSORFLOW, folded=False),
    "onnx": Format(onnx, onnx.TOLERANCE, (PLAIN, HALF, INT8), ONNX),
    "safetensors": Format(safetensors, 1e-6, ("whole", HALF, INT8)),
    "hub": Format(hub, 1e-6, ("whole", HALF)),
    "web": Format(web, onnx.TOLERANCE, ("runtime", HALF), ONNX),
}

_CALIBRATING = 256  # photographs that "int8" of "onnx" sees, at most

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
    flag("--nopreprocess", help="take float32 images, cropped and normalised")
    bits = "weights of fewer bits; int8 is for tflite, onnx, safetensors"
    add("--quantize", choices=("none", "float16", "int8"), default="none", help=bits)
    folder("--images", help="measure the accuracy on FOLDER/CLASS/*.jpg")
    flag("--calibrate", help="divide the logits by the temperature of an evaluation")
    flag("--whole", help="with the cross branch, for explain and for training")
    npm = f"npm's {web.PACKAGE} {web.VERSION}, unpacked; default: npm fetches it"
    folder("--runtime", help=npm)
    args = parser.parse_args(argv)
    flags = {
        f"quantize={args.quantize}": args.quantize != "none",
        "nopreprocess": args.nopreprocess,
        "whole": args.whole,
        "runtime": args.runtime,
    }
    for used in filter(flags.get, flags):
        takers = [name for name, format in FORMATS.items() if used in format.flags]
        if args.format not in takers:
            parser.error(f"--{used} is for --format={' or '.join(takers)}")
    args.ranges = (args.format, args.quantize) == ("onnx", "int8")
    if args.ranges and not args.images:
        parser.error("--quantize=int8 calibrates an onnx on photographs: give --images")
    return args


def _export(args: argparse.Namespace) -> None:
    _check_free(args.out)  # before the work, as the next one
    format = FORMATS[args.format]
    if format.needs:
        format.needs()
    runtime.enable_compilation_cache()
    trained = read_trained(args.checkpoint, whole=args.whole, calibrate=args.calibrate)
    paths: list[pathlib.Path] = []
    labels, examples = np.empty(0), None
    if args.images:
        names = trained.class_names
        paths, labels = labelled_images(args.images, names, every_class=False)
    if args.ranges:
        if len(paths) < 2:
            raise UserError("--quantize=int8 needs two photographs or more")
        every = max(2, -(-len(paths) // _CALIBRATING))
        examples = served.read_pixels(paths[::every], trained.resize)
        rest = np.flatnonzero(np.arange(len(paths)) % every)
        paths, labels = [paths[i] for i in rest], labels[rest]
    # A name need not be text, what is written about it is.
    name = os.fsencode(args.out.resolve().name).decode(errors="replace")
    base = served.Served(
        trained,
        preprocess=not args.nopreprocess,
        folded=format.folded,
        quantize=args.quantize,
        name=name,
        runtime=args.runtime,
        examples=examples,
    )
    _describe(args, base)

    # What the export is compared with is the network as it was trained.
    network = dataclasses.replace(base, folded=False)
    tolerance = base.tolerance(format.tolerance)
    with files.new_folder(args.out) as folder:
        format.module.write(base, folder)
        exported = format.module.load(folder)
        difference = served.largest_difference(network, exported, tolerance)
        print(
            f"  check      {sum(served.BATCHES)} random images: logits differ by "
            f"at most {difference:.1e} (allowed {tolerance:.1e})"
        )
        if paths:
            before, after, same = served.accuracies(network, exported, paths, labels)
            print(
                f"  accuracy   {after:.2%} of {len(paths)} images; the "
                f"network {before:.2%}; both give the same class for {same:.2%}"
            )
        _check_free(args.out)  # still: it would be replaced
    size = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file())
    path = str(args.out)
    next = NEXT.get(args.format, "").format(path=path, quoted=command.typed(path))
    print(f"wrote {args.out}, {size / 1e6:.1f} MB{next}")


def read_trained(path: str, *, whole: bool, calibrate: bool) -> Trained:
    """Reads a checkpoint, `whole` with its cross branch; see `calibrated`."""
    trained = Trained.load(path, branch="" if whole else "base")
    is_base = "cross" not in trained.variables["params"]
    if whole and is_base and trained.model.branches > 1:
        raise UserError(
            f"{path} is a base branch alone, with no cross branch to write: leave out "
            f"--whole"
        )
    return calibrated(trained) if calibrate else trained


def calibrated(trained: Trained) -> Trained:
    """The network with its logits divided by the temperature of held-out images.

    The weights of the last layer of the base branch are divided: whatever is exported
    gives calibrated probabilities then. The description says so under "temperature".
    """
    scaled = (trained.evaluation or {}).get("calibrated")
    if not scaled:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"this network has no temperature{doubt}: evaluate its run with held-out "
            f"images, data.val_fraction or data.val_split, and export it again"
        )
    temperature = scaled["temperature"]
    if "temperature" in trained.description:
        raise UserError("the logits of this network are divided already: leave it out")
    base = trained.variables["params"]["base"]
    head = jax.tree.map(lambda x: x / temperature, base["vit"]["head"])
    base = {**base, "vit": {**base["vit"], "head": head}}
    params = {**trained.variables["params"], "base": base}
    variables = {**trained.variables, "params": params}
    # Its weights are not those that were evaluated any more.
    measured = {"temperature": temperature, "evaluation": trained.evaluation}
    description = trained.description | measured
    return dataclasses.replace(trained, variables=variables, description=description)


def _check_free(out: pathlib.Path) -> None:
    """Raises UserError unless there is nothing at `out`, or an empty folder."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out={out} is not a folder: give the name of a new one")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty: give another one, or remove it")


def _describe(args: argparse.Namespace, base: served.Served) -> None:
    names = base.trained.class_names
    images = base.images(1 if args.format == "tflite" else "b")
    batch, side, *_ = images.shape
    resized = f"resized to {side}x{side}; " if base.preprocess else ""
    inside = " inside" if base.preprocess else ""
    print(
        f"{args.checkpoint}:\n"
        f"  images     {images.dtype}[{batch}, {side}, {side}, 3]: RGB, {resized}"
        f"cropped and normalised{inside}\n"
        f"  logits, probabilities  float32[{batch}, {len(names)}]: {', '.join(names)}"
    )
    if base.examples is not None:
        print(f"  calibrated on {len(base.examples)} of the photographs")
    if base.trained.model.dtype != base.model.dtype:
        print("  note       the network computes in bfloat16, its export in float32")


if __name__ == "__main__":
    command.start(main)

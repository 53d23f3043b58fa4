"""Draws what a face shares with other faces, as Figure 8 of the paper.

qcs-jax explain a.jpg b.jpg --out=shared.png
"""

from __future__ import annotations

import argparse
from typing import Any

from qcs_jax.predict.__main__ import add_network, load_network
from qcs_jax.system import command, files
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax explain",
        description="Draws what a face shares with other faces, position by position "
        "(Figure 8 of the paper): of each photograph, its largest face.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("anchor", metavar="IMAGE", help="a photograph or a cropped face")
    add("others", metavar="OTHER", nargs="+", help="what it is compared with")
    add_network(parser, flip=False)
    add("--crops", action="store_true", help="each image is a face, and taken whole")
    add("--out", metavar="FILE.png", required=True, help="picture to write")
    args = parser.parse_intermixed_args(argv)
    return command.run(lambda: _explain(args), failure=2)


def _explain(args: argparse.Namespace) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import output

    output.check(args.out, [".png", ".jpg"])
    faces: list = [args.anchor, *args.others]
    if any(files.is_same(args.out, face) for face in faces):
        raise UserError(f"--out={args.out} is one of the images: give another")
    classifier = load_network(args)
    if not (args.crops or classifier.drawn):
        faces = [_largest_face(classifier, path) for path in faces]
    classifier.explain(faces[0], faces[1:]).save(args.out)
    print(f"wrote {args.out}")


def _largest_face(classifier: Any, path: str) -> Any:
    photo = classifier.predict_photo(path)
    if not photo.faces:
        raise UserError(f"{path}: no face found; if it is one, add --crops")
    return photo.faces[0].pixels

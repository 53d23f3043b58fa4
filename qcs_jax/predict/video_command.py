"""Finds, follows and classifies the faces of a video.

qcs-jax video party.mp4 --out=faces.csv --draw=drawn.mp4
qcs-jax video 0 --show
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from qcs_jax.predict.__main__ import add_network, load_network
from qcs_jax.system import command, extras, files, signals
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax video",
        description="Finds, follows and classifies the faces of a video. Ctrl-C ends "
        "it; what was written so far is complete.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a file, or the number of a camera, from 0")
    add_network(parser)
    add("--every", type=command.count, default=1, metavar="N", help="each n-th frame")
    add("--out", metavar="FILE.csv", help="write a row for each face of each frame")
    add("--draw", metavar="FILE.mp4", help="write the video with boxes and labels")
    add("--show", action="store_true", help="show that: q ends, the space bar pauses")
    args = parser.parse_args(argv)
    with signals.ending():
        return command.run(lambda: _watch(args), failure=2)


def _watch(args: argparse.Namespace) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import output, video, window
    from qcs_jax.predict.answers import Frame

    if args.out is not None:
        output.check(args.out, [".csv"])
    if args.draw is not None:
        output.check(args.draw, [".mp4"])
        extras.require("video")  # of a camera, too
        if files.is_same(args.draw, args.video):
            raise UserError(f"--draw={args.draw} is the video itself: give another")
    camera = args.video.isdecimal() and len(args.video) < 4
    source = int(args.video) if camera else args.video
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(window.Window()) if args.show else None
        opened = stack.enter_context(video.Video(source, args.every))
        classifier = load_network(args)
        uses, pictures = list[Callable](), list[Callable]()
        if args.out is not None:
            writer = output.writer(args.out, classifier.class_names, Frame.COLUMNS)
            uses.append(stack.enter_context(writer))
        if args.draw is not None:
            drawing = video.writer(args.draw, opened.size)
            pictures.append(stack.enter_context(drawing))
        if shown:
            pictures.append(shown.show)
        if pictures:
            uses.append(lambda frame: _hand_on(frame.draw(), frame.seconds, pictures))
        frames, total = classifier.watch(opened), opened.count or math.inf
        frames = output.with_progress(frames, unit=" frames", total=total)
        frames = shown.until_ended(frames) if shown else frames
        _use(frames, uses, live=camera)
    if opened.cut_off and not (shown and shown.ended):
        print(f"warning: {opened.cut_off}: it may be cut off", file=sys.stderr)


def _hand_on(image: Any, seconds: float, pictures: list[Callable]) -> None:
    for use in pictures:
        use(image, seconds)


def _use(
    frames: Iterable[Any], uses: list[Callable[[Any], None]], *, live: bool
) -> None:
    """Hands every frame on, and sums up what was seen, also after Ctrl-C."""
    count, ids, labels = 0, set[int](), Counter[str]()
    try:
        for frame in frames:
            for use in uses:
                use(frame)
            count += 1
            ids |= {face.id for face in frame.faces}
            labels.update(face.label for face in frame.faces)
    except KeyboardInterrupt:
        if not live:
            raise
    finally:
        seen = labels.total()
        print(
            f"{_counted(count, 'frame')}, {_counted(len(ids), 'face')}, "
            f"seen {_counted(seen, 'time')}"
        )
        for label, times in labels.most_common():
            print(f"  {times / seen:6.1%} {label}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

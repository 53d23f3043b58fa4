"""Finds, follows and classifies the faces of a video.

qcs-jax video party.mp4 --out=faces.csv --draw=drawn.mp4
qcs-jax video 0
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from qcs_jax.predict.__main__ import add_network, load
from qcs_jax.system import command
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    return command.run(lambda: _watch(args), failure=2)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=command.name("predict.video_command"),
        description="Finds, follows and classifies the faces of a video. Ctrl-C ends "
        "it; what was written so far is whole.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a file, or the number of a camera, from 0")
    add_network(add)
    add("--every", metavar="N", type=_count, default=1, help="take each n-th frame")
    add("--out", metavar="FILE.csv", help="write a row for each face of each frame")
    add("--draw", metavar="FILE.mp4", help="write the video with boxes and labels")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def _watch(args: argparse.Namespace) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import output, rows, video

    if args.out is not None:
        output.check(args.out, [".csv"])
    if args.draw is not None:
        output.check(args.draw, [".mp4"])
        if os.path.realpath(args.draw) == os.path.realpath(args.video):
            raise UserError(f"--draw={args.draw} is the video itself: give another")
    source = int(args.video) if args.video.isdecimal() else args.video
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(video.Video(source, args.every))
        classifier = load(args)
        uses = []
        if args.out is not None:
            names, columns = classifier.class_names, rows.OF_FRAMES
            writer = output.writer(args.out, names, columns)
            uses.append(stack.enter_context(writer))
        if args.draw is not None:
            rate = opened.rate / args.every
            write = stack.enter_context(video.writer(args.draw, opened.size, rate))
            uses.append(lambda frame: write(frame.draw()))
        frames = output.with_progress(
            classifier.watch(opened), unit=" frames", total=opened.count
        )
        _use(frames, uses, opened.live)


def _use(frames: Iterable[Any], uses: list, live: bool) -> None:
    """Hands every frame on, and sums up what was seen, also after Ctrl-C."""
    start, seen = time.perf_counter(), _Seen()
    try:
        for frame in frames:
            seen.add(frame)
            for use in uses:
                use(frame)
    except KeyboardInterrupt:
        if not live:
            raise
    finally:
        print(seen.summary(time.perf_counter() - start))


class _Seen:
    """What is said of a video at its end."""

    def __init__(self) -> None:
        self._frames, self._ids = 0, set[int]()
        self._labels: Counter[str] = Counter()
        self._seconds = self._detecting = self._classifying = 0.0

    def add(self, frame: Any) -> None:
        self._frames += 1
        self._seconds = frame.seconds
        self._ids |= {face.id for face in frame.faces}
        self._labels.update(face.label for face in frame.faces)
        if self._frames > 1:  # the first one has the compilation, too
            self._detecting += frame.detecting
            self._classifying += frame.classifying

    def summary(self, took: float) -> str:
        seen = sum(self._labels.values())
        faces = "1 face" if len(self._ids) == 1 else f"{len(self._ids)} faces"
        lines = [f"{self._frames} frames, {faces}, seen {seen} times"]
        lines += [f"  {n / seen:6.1%} {x}" for x, n in self._labels.most_common()]
        if self._frames > 1:
            each = 1000 / (self._frames - 1)
            lines.append(
                f"{self._frames / took:.1f} frames a second, "
                f"{self._seconds / took:.1f} x real time; a frame: "
                f"{each * self._detecting:.1f} ms to find faces, "
                f"{each * self._classifying:.1f} ms to classify them"
            )
        return "\n".join(lines)


if __name__ == "__main__":
    command.start(main)

"""Finds, follows and classifies the faces of a video.

qcs-jax video party.mp4 --out=faces.csv --draw=drawn.mp4
qcs-jax video 0
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from qcs_jax.predict.__main__ import add_network, load
from qcs_jax.system import arguments, command, extras, files, signals
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    with signals.ending():
        return command.run(lambda: _watch(args), failure=2)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qcs-jax video",
        description="Finds, follows and classifies the faces of a video. Ctrl-C ends "
        "it; what was written so far is whole.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a file, or the number of a camera, from 0")
    add_network(add)
    add(
        "--every",
        metavar="N",
        type=arguments.count,
        default=1,
        help="take each n-th frame",
    )
    add("--out", metavar="FILE.csv", help="write a row for each face of each frame")
    add("--draw", metavar="FILE.mp4", help="write the video with boxes and labels")
    return parser.parse_args(argv)


def _watch(args: argparse.Namespace) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import output, rows, video, video_file

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
        opened = stack.enter_context(video.Video(source, args.every))
        classifier = load(args)
        uses = []
        if args.out is not None:
            names, columns = classifier.class_names, rows.OF_FRAMES
            writer = output.writer(args.out, names, columns)
            uses.append(stack.enter_context(writer))
        if args.draw is not None:
            write = stack.enter_context(video_file.writer(args.draw, opened.size))
            uses.append(lambda frame: write(frame.draw(), frame.seconds))
        frames = output.with_progress(
            classifier.watch(opened), unit=" frames", total=opened.count
        )
        _use(frames, uses, opened.live)
    if opened.cut_off:
        print(f"warning: {opened.cut_off}: it may be cut off", file=sys.stderr)


def _use(frames: Iterable[Any], uses: list, live: bool) -> None:
    """Hands every frame on, and sums up what was seen, also after Ctrl-C."""
    seen = _Seen()
    try:
        for frame in frames:
            for use in uses:
                use(frame)
            seen.add(frame)
    except KeyboardInterrupt:
        if not live:
            raise
    finally:
        print(seen.summary())


class _Seen:
    """What is said of a video at its end.

    The first frame, which has the compilation, too, is left out of all times.
    """

    def __init__(self) -> None:
        self.frames, self._ids = 0, set[int]()
        self._labels: Counter[str] = Counter()
        self._detecting = self._classifying = 0.0

    def add(self, frame: Any) -> None:
        if not self.frames:
            self._start, self._first = time.perf_counter(), frame.seconds
        else:
            self._detecting += frame.detecting
            self._classifying += frame.classifying
        self.frames += 1
        self._seconds = frame.seconds
        self._ids |= {face.id for face in frame.faces}
        self._labels.update(face.label for face in frame.faces)

    def summary(self) -> str:
        seen = sum(self._labels.values())
        frames, faces = _counted(self.frames, "frame"), _counted(len(self._ids), "face")
        lines = [f"{frames}, {faces}, seen {_counted(seen, 'time')}"]
        lines += [f"  {n / seen:6.1%} {x}" for x, n in self._labels.most_common()]
        if self.frames > 1:
            took, timed = time.perf_counter() - self._start, self.frames - 1
            lines.append(
                f"{timed / took:.1f} frames a second, "
                f"{(self._seconds - self._first) / took:.1f} x real time; a frame: "
                f"{1000 * self._detecting / timed:.1f} ms to find faces, "
                f"{1000 * self._classifying / timed:.1f} ms to classify them"
            )
        return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

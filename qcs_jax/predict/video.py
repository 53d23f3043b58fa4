"""Videos: the frames of a file or a camera, and when each is shown; files of them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.predict.camera import Camera
from qcs_jax.predict.faces import NOT_DOWNLOADED, is_url
from qcs_jax.system import extras
from qcs_jax.system.errors import UserError

_NO_RATE = 25  # frames per second where a file does not say
_TICK = Fraction(1, 90_000)  # seconds; times are written as multiples of it
_BT709 = 1  # how colours are written


class Video:
    """The frames of a file or of a camera; a context manager that closes it.

    Attributes:
      size: Width and height of the first frame, in pixels.
      count: About how many frames there will be, or None if that is not known.
    """

    def __init__(self, source: str | os.PathLike | int, every: int = 1):
        """Opens a file, or the camera of this number; takes each n-th frame.

        Raises:
          UserError: if it cannot be opened, or is a file and PyAV is not installed.
        """
        if every < 1:
            raise UserError(f"every={every}: give 1 or more")
        self._source: Camera | _File
        self._source = Camera(source) if isinstance(source, int) else _File(source)
        self._every = every
        self.size = self._source.size
        count = self._source.count
        self.count = count and -(-count // every)

    @property
    def cut_off(self) -> str | None:
        """After the last frame: what is missing of the file, or None."""
        read, duration = self._source.read, self._source.duration
        # Not every file says for how long its last frame is shown.
        if duration is None or duration - read < max(0.5, 0.05 * duration):
            return None
        return f"the video ends after {read:.1f} of {duration:.1f} seconds"

    def __iter__(self) -> Iterator[tuple[int, float, Image.Image]]:
        """Yields index, seconds and RGB image of each frame; see `Frame`."""
        for index, (seconds, pixels) in enumerate(self._source):
            if index % self._every == 0:
                yield index, seconds, Image.fromarray(pixels())

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: Any) -> None:
        self._source.close()


class _File:
    """The frames of a file; see `Video` for `size` and `count`.

    It says that it has `duration` seconds; `read` were read, picture and sound.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens it, and decodes its first frame; UserError if that fails."""
        path = os.fspath(path)
        if is_url(path):
            raise UserError(f"{path}: {NOT_DOWNLOADED}")
        if not os.path.isfile(path):
            raise UserError(f"there is no video {path}")
        av = _pyav()
        self._errors = av.FFmpegError
        # From PyAV 19 on, titles in an encoding of long ago are no error anyway.
        old = int(av.__version__.partition(".")[0]) < 19
        titles = {"metadata_errors": "replace"} if old else {}
        with _named(av.FFmpegError, f"{path}: FFmpeg cannot read it as a video"):
            # Else "concat:..." or "http:..." would be no name of a file.
            self._container = av.open(f"file:{path}", **titles)
        stream = self._container.streams.best("video")
        cover = stream and stream.disposition & av.stream.Disposition.attached_pic
        if stream is None or cover:
            self.close()
            raise UserError(f"{path}: there is no video in it")
        self._stream = stream
        self._rate = float(stream.guessed_rate or stream.average_rate or _NO_RATE)
        self._start = max(0, self._container.start_time or 0) / av.time_base
        self.duration = self.count = None
        if length := self._container.duration:
            self.duration = length / av.time_base
            self.count = stream.frames or round(self.duration * self._rate)
        self.read = 0.0
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            self.close()
            raise UserError(f"{path}: none of its frames can be decoded")
        self._decoded = itertools.chain([first], self._decoded)
        height, width = self._upright(first).shape[:2]
        self.size = width, height

    def __iter__(self) -> Iterator[tuple[float, Callable[[], np.ndarray]]]:
        """Yields when each frame is shown, see `Frame`, and what gives its pixels.

        Times never go back: a frame without one, or with one before that of the frame
        before, is shown as long after that as the rate says.
        """
        last = None
        for frame in self._decoded:
            shown = frame.dts if frame.pts is None else frame.pts
            if shown is not None:
                shown = float(shown * frame.time_base) - self._start
            if last is None:
                last = max(0.0, shown or 0.0)
            elif shown is None or shown < last:
                last += 1 / self._rate
            else:
                last = shown
            yield last, functools.partial(self._upright, frame)

    def _decode(self) -> Iterator[Any]:
        try:
            # Sound, too: where it goes on for longer, the file is not cut off.
            for packet in self._container.demux():
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self.read = max(self.read, float(end) - self._start)
                if packet.stream is self._stream:
                    # What is damaged is left out, as players do.
                    with contextlib.suppress(self._errors):
                        yield from packet.decode()
        except self._errors:  # what follows cannot be read
            return

    def _upright(self, frame: Any) -> np.ndarray:
        """RGB pixels `[h, w, 3]`, turned and mirrored as the file says to show them."""
        pixels = frame.to_ndarray(format="rgb24")
        matrix = None
        # PyAV frees the name of a colour profile twice, and knows not all that frames
        # may have beside them; how they are turned it tells in any case.
        if self._stream.codec_context.name not in ("png", "apng"):
            with contextlib.suppress(ValueError):
                matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return np.rot90(pixels, round(frame.rotation / 90))
        # x' = a x + c y and y' = b x + d y.
        (a, b), (c, d) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2].tolist()
        if abs(b) > abs(a):
            pixels, a, d = pixels.swapaxes(0, 1), c, b
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]

    def close(self) -> None:
        self._container.close()


@contextlib.contextmanager
def writer(
    path: str | os.PathLike, size: tuple[int, int]
) -> Iterator[Callable[[Image.Image, float], None]]:
    """Opens an .mp4 file, in H.264, and gives the function that appends a frame to it.

    The function takes an image and from when it is shown, in seconds; the first is
    shown from 0. What was written so far is a complete file also when the work is
    interrupted; when it is killed, or the disk is full, the last seconds are missing.
    H.264 has an even width and height: images are scaled by one pixel, if need be.
    """
    av, path, last = _pyav(), os.fspath(path), -1
    # Fragments of a second, which need no end, until they become one at the end.
    options = {
        "movflags": "hybrid_fragmented+empty_moov",
        "frag_duration": "1000000",
        "flush_packets": "1",
    }
    with _named(av.FFmpegError, f"{path} cannot be written as a video (.mp4)"):
        container = av.open(f"file:{path}", "w", format="mp4", options=options)
        stream = container.add_stream(
            "libx264", options={"preset": "veryfast", "bf": "0"}
        )
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        container.start_encoding()
    unfinished = f"{path} could not be written to its end"

    def write(image: Image.Image, seconds: float) -> None:
        nonlocal last
        # The first from 0 on: players, and what adds the sound, shift what begins late.
        last = 0 if last < 0 else max(last + 1, round(seconds / _TICK))
        frame = av.VideoFrame.from_image(image).reformat(
            stream.width, stream.height, "yuv420p", dst_colorspace=_BT709
        )
        frame.pts, frame.time_base = last, _TICK
        with _named(av.FFmpegError, unfinished):
            container.mux(stream.encode(frame))

    try:
        yield write
    finally:
        with _named(av.FFmpegError, unfinished):
            try:
                container.mux(stream.encode(None))
            finally:
                container.close()


@contextlib.contextmanager
def _named(error: type[Exception], message: str) -> Iterator[None]:
    """Raises an error of FFmpeg as a UserError that begins with `message`."""
    try:
        yield
    except error as why:
        raise UserError(f"{message}: {getattr(why, 'strerror', why)}") from None


def _pyav() -> Any:
    with extras.named():
        import av
    return av

"""Small videos with the times, sound and container that a test asks for."""

from fractions import Fraction

import av
import numpy as np

SIZE = 64, 48
RATE = 20
TICK = Fraction(1, RATE)  # seconds, of which times are multiples


def pixels(index):
    """Of a frame: noise, and bars whose number is the index modulo 8."""
    image = np.random.default_rng(index).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    image[:24] = 0
    image[:24, : 8 * (index % 8)] = 255
    return image


def write(path, times, codec="libx264", pix_fmt="yuv420p", sound=0.0, **muxer):
    """Writes a frame for each of `times`, and so many seconds of sound."""
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        stream.codec_context.time_base = TICK
        if codec == "libx264":
            stream.options = {"bf": "0"}
        heard = container.add_stream("aac", rate=48000) if sound else None
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(pixels(index))
            frame.pts, frame.time_base = round(time / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for start in range(0, int(48000 * sound), 1024):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 48000, start
            container.mux(heard.encode(frame))
        if heard:
            container.mux(heard.encode(None))


def cut(path, part):
    """Leaves the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])

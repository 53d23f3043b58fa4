"""What is asked: bodies that are read within limits, and the images in them."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import Any, NamedTuple

from PIL import Image
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from qcs_jax.images import decode

MOST_IMAGES = 32  # in a request
_MOST_PARTS = 2 * MOST_IMAGES  # of a form, other fields among them
# What is decoded for strangers. Pillow knows many more, some of which call programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")

# Scans of a JPEG: programs write ten or so, and each passes over the whole image, also
# where it takes but 40 bytes. Other parts of a file have the marker by chance.
_SCAN, _MOST_SCANS, _BY_CHANCE = b"\xff\xda", 100, 1 / 2**15
_DISCARD = 1.0  # seconds, see `discard`


class Refusal(Exception):
    """What is answered instead of faces: a status, and one sentence."""

    def __init__(self, status: int, sentence: str, headers: dict | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


class Upload(NamedTuple):
    """An image as it came."""

    data: bytes
    name: str | None = None  # as the caller calls it; no file of that name is opened


async def read_body(request: Request, most: int) -> bytes:
    """Reads all of a body; Refusal if it is longer than `most` bytes, as soon as known.

    ClientDisconnect if the caller goes away.
    """
    too_long = Refusal(413, f"the body is longer than {most} bytes")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() not in ("", "identity"):
        raise Refusal(415, "the body is compressed: send it as it is")
    length = request.headers.get("content-length", "0")
    # Python turns no more than some thousand digits into a number.
    if length.isdecimal() and (len(length) > 20 or int(length) > most):
        await discard(request)
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:  # without a length, or with a wrong one
            await discard(request)
            raise too_long
    return bytes(body)


async def discard(request: Request) -> None:
    """Reads on for a second and keeps nothing, so that the answer can be read.

    A caller who is still sending when the connection closes may never see it.
    """
    if "expect" in request.headers:  # it waits for a word before it sends
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD):
            while (await request.receive()).get("more_body"):
                pass


def uploads(content_type: str, body: bytes) -> list[Upload]:
    """The images of a body: one, or the files of a form; nothing reaches the disk.

    Takes as long as the body is intricate, so it is for a thread.

    Raises:
      Refusal: if it is a form without files, with too many, or damaged.
    """
    if not content_type.strip().lower().startswith("multipart/"):
        if not body:
            raise Refusal(400, "the body is empty: send an image")
        return [Upload(body)]
    form = _Form()
    try:
        _, options = parse_options_header(content_type)
        parser = MultipartParser(options[b"boundary"], form.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, LookupError, ValueError, TypeError):
        raise Refusal(400, "the form is damaged") from None
    if not form.ended:
        raise Refusal(400, "the form has no end")
    if not form.files:
        raise Refusal(400, "the form has no file: send each image as one")
    return form.files


class _Form:
    """Collects the files of a form while it is parsed; other fields are passed over."""

    def __init__(self) -> None:
        self.files: list[Upload] = []
        self.ended = False
        self._header, self._value, self._disposition = b"", b"", b""
        self._name: str | None = None
        self._content, self._parts = bytearray(), 0

    def callbacks(self) -> Any:
        """As `MultipartParser` takes them."""
        names = "part_begin part_data part_end header_field header_value header_end"
        names += " headers_finished end"
        return {f"on_{name}": getattr(self, f"_{name}") for name in names.split()}

    def _part_begin(self) -> None:
        self._disposition, self._name, self._content = b"", None, bytearray()
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Refusal(400, f"a form may have {_MOST_PARTS} fields")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" in options:
            self._name = options[b"filename"].decode("utf-8", "replace")
            if len(self.files) == MOST_IMAGES:
                raise Refusal(400, f"a form may have {MOST_IMAGES} files")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name is not None:
            self._content += data[start:end]

    def _part_end(self) -> None:
        if self._name is not None:
            self.files.append(Upload(bytes(self._content), self._name))

    def _end(self) -> None:
        self.ended = True


def check(data: bytes, megapixels: float) -> None:
    """Raises OSError unless it begins as an image that is not too large.

    Decodes nothing. An image counts as the square of the same girth: one that is long
    and narrow becomes as large when it is turned.
    """
    with decode.one_kind_of_error():
        if not data:
            raise OSError("an empty file is no image")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            (width, height), kind = image.size, image.format
    side = int(1000 * megapixels**0.5)
    if width + height > 2 * side:
        raise OSError(
            f"too large: {width} x {height} pixels; the most is {side} x {side}, or "
            f"sides that together are as long"
        )
    scans = data.count(_SCAN) if kind in ("JPEG", "MPO") else 0
    if scans > _MOST_SCANS + _BY_CHANCE * len(data):
        raise OSError(f"a JPEG with {scans} scans, more than any program writes")

"""What is asked: bodies that are read within limits, and the images in them."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import NamedTuple

from PIL import Image
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from qcs_jax.images import decode

MOST_IMAGES = 32  # in a request
# What is decoded for strangers. Pillow knows many more, some of which call programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")

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
    if length.isdecimal() and int(length) > most:
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
            while (message := await request.receive()).get("more_body"):
                del message


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
    files = asyncio.run(_files(content_type, body))
    if not files:
        raise Refusal(400, "the form has no file: send each image as one")
    return files


async def _files(content_type: str, body: bytes) -> list[Upload]:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    class InMemory(MultiPartParser):
        spool_max_size = len(body) + 1  # never more than that is in a file

    # Only what the parser needs, and in letters that it can decode.
    headers = Headers({"content-type": content_type})
    parser = InMemory(headers, stream(), max_files=MOST_IMAGES, max_fields=MOST_IMAGES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form is damaged: {error.message}") from None
    except (FormParserError, ValueError, LookupError, AttributeError):
        raise Refusal(400, "the form is damaged") from None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        return [
            Upload(await item.read(), item.filename)
            for _, item in form.multi_items()
            if isinstance(item, UploadFile)
        ]


def check(data: bytes, megapixels: float) -> None:
    """Raises OSError unless it begins as an image that is not too large.

    Decodes nothing. An image counts as the square of the same girth: one that is long
    and narrow becomes as large when it is turned.
    """
    with decode.one_kind_of_error():
        if not data:
            raise OSError("an empty file is no image")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    side = int(1000 * megapixels**0.5)
    if width + height > 2 * side:
        raise OSError(
            f"too large: {width} x {height} pixels; the most is {side} x {side}, or "
            f"sides that together are as long"
        )

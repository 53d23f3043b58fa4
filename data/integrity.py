"""What every builder checks about its source files."""

import dataclasses
import io
import pathlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm
from PIL import Image, ImageOps

from qcs_jax.system import files
from qcs_jax.system.errors import UserError

_FORMATS = ("JPEG", "PNG", "BMP", "WebP")
# MPO is what many phones write: a JPEG with further pictures behind the first.
_STORED_AS_IS = ("JPEG", "MPO", "PNG")
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """An image file that cannot be used, and why."""

    path: pathlib.Path
    reason: str


def decode(data: bytes, more_formats: tuple[str, ...] = ()) -> Image.Image:
    """Decodes a JPEG, PNG, BMP or WebP file (of an animation, the first frame).

    Raises:
      ValueError: if the data is not a complete image; says why in a few words.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd but harmless metadata, and about huge images
            # long before it refuses them.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS + more_formats)
            image.load()
    except Image.UnidentifiedImageError:
        accepted = ", ".join([*_FORMATS[:-1], *more_formats])
        problem = f"not a {accepted} or {_FORMATS[-1]} image" if data else "empty file"
        raise ValueError(problem) from None
    except Exception as error:  # decoders raise whatever a damaged file provokes
        raise ValueError(f"cannot be decoded: {error}") from error
    return image


def storable(data: bytes) -> bytes:
    """Returns JPEG or PNG with 8 bits per channel: `data` itself where it is that."""
    image = decode(data)
    if image.format in _STORED_AS_IS and image.mode in _EIGHT_BIT_MODES:
        return data
    buffer = io.BytesIO()
    ImageOps.exif_transpose(eight_bit(image)).save(buffer, "PNG")
    return buffer.getvalue()


def eight_bit(image: Image.Image) -> Image.Image:
    """Returns the image as grey or RGB with 8 bits per channel."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in _EIGHT_BIT_MODES:
        return image.convert("RGB")
    # Pillow would clip 16-bit grey at 255 instead of scaling it.
    pixels = np.asarray(image, dtype=np.float64)
    top = 255.0 if pixels.max() < 256 else 65535.0
    return Image.fromarray((pixels.clip(0, top) * 255 / top).astype(np.uint8))


def reason(error: OSError | ValueError) -> str:
    """Says in a few words why a file could not be read or decoded."""
    return getattr(error, "strerror", None) or str(error)


def find_unreadable(paths: Sequence[pathlib.Path]) -> Iterator[Unreadable]:
    """Decodes every image once and yields those that fail, with the reason."""
    for path in tqdm.tqdm(paths, desc="Checking", unit=" images"):
        try:
            decode(path.read_bytes())
        except (OSError, ValueError) as error:
            yield Unreadable(path, reason(error))


def report_unreadable(
    unreadable: list[Unreadable], limit: int, report: pathlib.Path
) -> None:
    """Writes the report, a `path<TAB>reason` a line; stops when there are too many."""
    if not unreadable:
        report.unlink(missing_ok=True)
        return
    report.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(report, "".join(f"{u.path}\t{u.reason}\n" for u in unreadable))
    if len(unreadable) > limit:
        first = unreadable[0]
        raise UserError(
            f"{len(unreadable)} images are unreadable, {limit} are tolerated; the "
            f"first is {first.path} ({first.reason}), all are in {report}. Repair or "
            f"remove them, or raise --max_unreadable"
        )

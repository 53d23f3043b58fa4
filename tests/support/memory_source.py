"""A prepared split in memory, whose images tell which example they are."""

import dataclasses
import io

import numpy as np
from PIL import Image

from qcs_jax.input.sources import Source


@dataclasses.dataclass(frozen=True)
class Records:
    """Random access as TFDS offers it."""

    records: tuple[dict, ...]

    def __len__(self):
        return len(self.records)

    def __getitems__(self, indices):
        return [self.records[i] for i in indices]


def create(labels, side=4, corrupt=()):
    """A source with these labels; the images in `corrupt` cannot be decoded."""
    labels = np.asarray(labels, np.int32)
    records = tuple(
        {
            "image": b"no image" if i in corrupt else _png(i, side),
            "label": int(label),
            "id": f"train/{i}.png".encode(),
        }
        for i, label in enumerate(labels)
    )
    names = tuple(f"class {k}" for k in range(labels.max() + 1))
    return Source("memory/test", "train", Records(records), labels, names)


def examples_in(images):
    """uint8 `[..., side, side, 3]` -> the examples that the pixels encode, `[...]`."""
    corner = images[..., 0, 0, :].astype(np.int64)
    assert (images == images[..., :1, :1, :]).all()
    return corner[..., 0] * 256 + corner[..., 1]


def _png(example, side):
    buffer = io.BytesIO()
    color = (*divmod(example, 256), 77)
    Image.new("RGB", (side, side), color).save(buffer, "PNG")
    return buffer.getvalue()

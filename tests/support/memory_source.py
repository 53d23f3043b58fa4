"""A prepared split in memory, whose images tell which example they are."""

import numpy as np
import small
from PIL import Image

from qcs_jax.input.sources import Source


class Records(list):
    """Random access as TFDS offers it."""

    def __getitems__(self, indices):
        return [self[i] for i in indices]


def create(labels, side=4, corrupt=()):
    """A source with these labels; the images in `corrupt` cannot be decoded."""
    labels = np.asarray(labels, np.int32)
    records = Records()
    for i, label in enumerate(labels.tolist()):
        image = Image.new("RGB", (side, side), (*divmod(i, 256), 77))
        data = b"no image" if i in corrupt else small.encode(image)
        records.append({"image": data, "label": label, "id": f"train/{i}.png".encode()})
    names = tuple(f"class {k}" for k in range(labels.max() + 1))
    return Source("memory/test", "train", records, labels, names)


def examples_in(images):
    """uint8 `[..., side, side, 3]` -> the examples that the pixels encode, `[...]`."""
    corner = images[..., 0, 0, :].astype(np.int64)
    assert (images == images[..., :1, :1, :]).all()
    return corner[..., 0] * 256 + corner[..., 1]

"""Images of FER2013 that are in more than one split."""

import hashlib
import io
from collections.abc import Sequence

import tqdm
from official import Example
from PIL import Image


def in_training(examples: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """Finds training images that are also in another split, pixel by pixel.

    Args:
      examples: Per split; has "train".

    Returns:
      Per other split, the training images that it has, too. What cannot be decoded is
      equal to nothing.
    """
    train = _digests("train", examples["train"])
    found = {}
    for split in examples.keys() - {"train"}:
        seen = set(_digests(split, examples[split])) - {None}
        pairs = zip(examples["train"], train, strict=True)
        found[split] = [example for example, digest in pairs if digest in seen]
    return found


def _digests(split: str, examples: Sequence[Example]) -> list[bytes | None]:
    progress = tqdm.tqdm(examples, desc=f"Comparing {split}", unit=" images", delay=2)
    return [_digest(example) for example in progress]


def _digest(example: Example) -> bytes | None:
    try:
        image = Image.open(io.BytesIO(example.load())).convert("L")
    except (OSError, ValueError):
        return None
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()

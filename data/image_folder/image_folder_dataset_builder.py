"""TFDS builder of anybody's folder of images."""

import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any

import generation
import integrity
import tensorflow_datasets as tfds
import tqdm

from image_folder.folder import SPLITS, Folder
from qcs_jax.system import files

FINGERPRINT_FILE = "fingerprint.txt"


@dataclasses.dataclass(eq=False, kw_only=True)
class ImageFolderConfig(tfds.core.BuilderConfig):
    """One person's dataset.

    Attributes:
      folder: The images; all of them readable.
    """

    folder: Folder


class Builder(generation.ImageBuilder):
    """Images in folders named after their class, one config per folder."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.builder_config.folder.class_names

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        # Written among the data, it appears and disappears together with them.
        folder = self.builder_config.folder
        text = f"{folder.fingerprint}\n{folder.root}\n"
        if folder.test_fraction is not None:
            text += f"{folder.test_fraction}\n"
        files.write_text(self.data_path / FINGERPRINT_FILE, text)
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = self.builder_config.folder
        pairs = folder.images[split]
        for name, label in tqdm.tqdm(pairs, desc=f"Storing {split}", unit=" images"):
            data = integrity.storable((folder.root / name).read_bytes())
            # Names of files need not be text: bytes that are none become \\xff.
            text = os.fsencode(name).decode("utf-8", "backslashreplace")
            yield text, {"image": io.BytesIO(data), "label": label, "id": text}

"""TFDS builder of anybody's folder of images."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from qcs_jax.system import files
from qcs_jax.system.errors import UserError

from .. import generation, integrity
from .folder import SPLITS, Folder

_FINGERPRINT_FILE = "fingerprint.txt"


@dataclasses.dataclass(eq=False, kw_only=True)
class ImageFolderConfig(tfds.core.BuilderConfig):
    """One person's dataset."""

    folder: Folder  # of images that are all readable


class Builder(generation.ImageBuilder):
    """Images in folders named after their class, one config per folder."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.builder_config.folder.class_names

    def check_unchanged(self) -> None:
        """Refuses to pass off an older state of the folder as prepared."""
        folder = self.builder_config.folder
        path = self.data_path / _FINGERPRINT_FILE
        text = path.read_bytes().decode("utf-8", "surrogateescape") + "\n"
        fingerprint, root, fraction = text.split("\n")[:3]
        if fingerprint == folder.fingerprint:
            return
        other = ""
        if root != str(folder.root):
            other = f"from {root}"
        elif fraction and fraction != str(folder.test_fraction):
            other = f"with --test_fraction={fraction}"
        if other:
            raise UserError(
                f"{self.title} is already prepared, {other}: choose another --name, or "
                f"replace it with --overwrite"
            )
        raise UserError(
            f"{folder.root} has changed since {self.title} was prepared: prepare it "
            f"again with --overwrite"
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        # Written among the data, it appears and disappears together with them.
        folder = self.builder_config.folder
        text = f"{folder.fingerprint}\n{folder.root}\n"
        if folder.test_fraction is not None:
            text += f"{folder.test_fraction}\n"
        files.write_text(self.data_path / _FINGERPRINT_FILE, text)
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = self.builder_config.folder
        pairs = folder.images[split]
        for name, label in tqdm.tqdm(pairs, desc=f"Storing {split}", unit=" images"):
            data = integrity.storable((folder.root / name).read_bytes())
            # Names of files need not be text: bytes that are none become \\xff.
            text = os.fsencode(name).decode("utf-8", "backslashreplace")
            yield text, {"image": io.BytesIO(data), "label": label, "id": text}


def of_folder(name: str, folder: Folder, data_dir: pathlib.Path) -> Builder:
    """Returns the builder of `image_folder/NAME`."""
    config = ImageFolderConfig(name=name, folder=folder)
    return Builder(config=config, data_dir=data_dir, file_format=generation.FILE_FORMAT)

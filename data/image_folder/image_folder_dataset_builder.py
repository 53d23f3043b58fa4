"""TFDS builder of anybody's folder of images."""

import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import integrity
import tensorflow_datasets as tfds
import tqdm
from etils import epath

from image_folder.folder import SPLITS, Folder

FINGERPRINT_FILE = "fingerprint.txt"


@dataclasses.dataclass(eq=False, kw_only=True)
class ImageFolderConfig(tfds.core.BuilderConfig):
    """One person's dataset.

    Attributes:
      folder: The images; all of them readable.
    """

    folder: Folder


class Builder(tfds.core.GeneratorBasedBuilder):
    """Stores the files of a folder, one config per folder."""

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        names = list(self.builder_config.folder.class_names)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images in folders named after their class.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=names),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        # Written among the data, it appears and disappears together with them.
        folder = self.builder_config.folder
        (self.data_path / FINGERPRINT_FILE).write_text(
            f"{folder.fingerprint}\n{folder.root}\n"
        )
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = self.builder_config.folder
        pairs = folder.images[split]
        for name, label in tqdm.tqdm(pairs, desc=f"Storing {split}", unit=" images"):
            data = integrity.storable((folder.root / name).read_bytes())
            yield name, {"image": io.BytesIO(data), "label": label, "id": name}

"""TFDS builder of FER+."""

import pathlib

import numpy as np
import official
import tensorflow_datasets as tfds

from ferplus import listing, votes


class Builder(official.OfficialBuilder):
    """FER2013 with the labels that a majority of ten people gave, 8 expressions."""

    class_names = votes.CLASS_NAMES
    published = listing.PUBLISHED
    how_to_obtain = listing.HOW_TO_OBTAIN
    # Counts of the 8 classes, "unknown" and "NF".
    more_features = {"votes": tfds.features.Tensor(shape=(10,), dtype=np.float32)}

    def scan(self, root: pathlib.Path) -> official.Copy:
        return listing.scan(root)

"""TFDS builder of RAF-DB's basic set."""

import pathlib

import official
from etils import epath

from raf_db import listing


class Builder(official.OfficialBuilder):
    """RAF-DB, basic set: real-world faces, aligned, 7 expressions."""

    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)
    class_names = listing.CLASS_NAMES
    published = listing.PUBLISHED
    how_to_obtain = listing.HOW_TO_OBTAIN

    def scan(self, root: pathlib.Path) -> official.Copy:
        return listing.scan(root)

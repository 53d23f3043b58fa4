"""TFDS builder of RAF-DB's basic set."""

import pathlib

import official

from raf_db import listing


class Builder(official.OfficialBuilder):
    """RAF-DB, basic set: real-world faces, aligned, 7 expressions."""

    class_names = listing.CLASS_NAMES
    published = listing.PUBLISHED
    how_to_obtain = listing.HOW_TO_OBTAIN
    knows_people = True

    def scan(self, root: pathlib.Path) -> official.Copy:
        return listing.scan(root)

"""Faces that are followed from frame to frame of a video."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from qcs_jax.predict.answers import FaceFound
from qcs_jax.predict.detector import overlap

_SAME = 0.3  # boxes of consecutive frames that overlap by more (IoU) are of one face
_PATIENCE = 1.0  # seconds, or a frame, that a face may be unseen and still be itself
_SMOOTH = 0.5  # seconds in which the weight of what was seen falls to 1 / e


class Tracker:
    """Gives the same face the same id in all frames, and smooths its probabilities."""

    def __init__(self) -> None:
        # By id: the face as it was last, and when, in seconds.
        self._tracks: dict[int, tuple[FaceFound, float]] = {}
        self._ids = itertools.count(1)
        self._seconds = -math.inf  # of the frame before

    def update(
        self, faces: Sequence[FaceFound], seconds: float
    ) -> tuple[FaceFound, ...]:
        """Takes the faces of the next frame, and returns them in the order of their id.

        A face is that of the frame before whose box it overlaps most. Its probabilities
        are an exponential mean over time, so that they do not depend on the number of
        frames in a second.
        """
        seconds = max(seconds, self._seconds)
        lost_before = min(seconds - _PATIENCE, self._seconds)
        self._seconds = seconds
        tracks = self._tracks.items()
        self._tracks = {id: x for id, x in tracks if x[1] >= lost_before}
        ids, tracked = self._matches(faces), []
        for i, face in enumerate(faces):
            id, p = ids.get(i), face.probabilities
            if id is None:
                id = next(self._ids)
            else:
                before, seen = self._tracks[id]
                kept = np.exp((seen - seconds) / _SMOOTH)
                p = kept * before.probabilities + (1 - kept) * p
            tracked.append(dataclasses.replace(face, id=id, probabilities=p))
            self._tracks[id] = tracked[-1], seconds
        return tuple(sorted(tracked, key=lambda face: face.id or 0))

    def _matches(self, faces: Sequence[FaceFound]) -> dict[int, int]:
        """Index of a face -> id of its track; the largest overlaps first."""
        pairs = [
            (overlap(face.box, track.box), i, id)
            for i, face in enumerate(faces)
            for id, (track, _) in self._tracks.items()
        ]
        matches: dict[int, int] = {}
        for same, i, id in sorted(pairs, reverse=True):
            if same > _SAME and i not in matches and id not in matches.values():
                matches[i] = id
        return matches

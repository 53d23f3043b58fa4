"""Follows faces from frame to frame of a video, and smooths what they show."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from qcs_jax.predict.answers import FaceFound, Frame
from qcs_jax.predict.detector import Detection, overlap

_SAME = 0.3  # boxes of consecutive frames that overlap by more (IoU) are of one face
_PATIENCE = 1.0  # seconds, or a frame, that a face may be unseen and still be itself
_SMOOTH = 0.5  # seconds in which the weight of what was seen falls to 1 / e


def follow(
    video: Iterable[tuple[int, float, Image.Image]],
    detect: Callable[[Image.Image], list[Detection]],
    classify: Callable[[Image.Image, list[Detection]], list[FaceFound]],
) -> Iterator[Frame]:
    """Finds, follows and classifies the faces of a `Video`."""
    tracker, clock = Tracker(), time.perf_counter
    for index, seconds, image in video:
        start = clock()
        detections = detect(image)
        detected = clock()
        faces = tracker.update(classify(image, detections), seconds)
        classifying = clock() - detected
        yield Frame(index, seconds, image, faces, detected - start, classifying)


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

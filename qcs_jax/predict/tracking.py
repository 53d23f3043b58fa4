"""Follows faces from frame to frame of a video, and smooths what they show."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from qcs_jax.predict.align import Aligner
from qcs_jax.predict.answers import FaceFound, Frame, Prediction
from qcs_jax.predict.detector import overlap

_SAME = 0.3  # boxes of consecutive frames that overlap by more (IoU) are of one face
_PATIENCE = 1.0  # seconds, or a frame, that a face may be unseen and still be itself
_SMOOTH = 0.5  # seconds in which the weight of what was seen falls to 1 / e


def follow(
    video: Iterable[tuple[int, float, Image.Image]],
    aligner: Aligner,
    side: int,
    classify: Callable[[list[np.ndarray]], Iterable[Prediction]],
) -> Iterator[Frame]:
    """Finds, follows and classifies the faces of a `Video`.

    Faces are cut out as uint8 `[side, side, 3]`, of which `classify` gives predictions.
    """
    tracker, clock = Tracker(), time.perf_counter
    for index, seconds, image in video:
        start = clock()
        detections = aligner.detect.upright(image)
        detected = clock()
        crops = [np.asarray(aligner.cut(image, face, side)) for face in detections]
        predictions = list(classify(crops))
        tracked = tracker.update(
            [face.box for face in detections],
            [prediction.probabilities for prediction in predictions],
            seconds,
        )
        faces = [
            FaceFound(p, prediction.class_names, **vars(face), pixels=pixels, id=id)
            for (id, p), prediction, face, pixels in zip(
                tracked, predictions, detections, crops, strict=True
            )
        ]
        faces.sort(key=lambda face: face.id or 0)
        classifying = clock() - detected
        yield Frame(index, seconds, image, tuple(faces), detected - start, classifying)


@dataclasses.dataclass
class _Track:
    id: int
    box: np.ndarray
    probabilities: np.ndarray  # smoothed
    seconds: float  # when it was seen last


class Tracker:
    """Gives the same face the same id in all frames, and smooths its probabilities."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._ids = itertools.count(1)
        self._seconds = -math.inf  # of the frame before

    def update(
        self,
        boxes: Sequence[np.ndarray],
        probabilities: Sequence[np.ndarray],
        seconds: float,
    ) -> list[tuple[int, np.ndarray]]:
        """Takes the faces of the next frame.

        A face is that of the frame before whose box it overlaps most. Its probabilities
        are an exponential mean over time, so that they do not depend on the number of
        frames in a second. Returns the id and the smoothed probabilities of each face.
        """
        seconds = max(seconds, self._seconds)
        lost_before = min(seconds - _PATIENCE, self._seconds)
        self._seconds = seconds
        self._tracks = [t for t in self._tracks if t.seconds >= lost_before]
        matches = self._matches(boxes)
        answers = []
        for i, (box, p) in enumerate(zip(boxes, probabilities, strict=True)):
            if track := matches.get(i):
                kept = np.exp((track.seconds - seconds) / _SMOOTH)
                track.probabilities = kept * track.probabilities + (1 - kept) * p
                track.box, track.seconds = box, seconds
            else:
                track = _Track(next(self._ids), box, p, seconds)
                self._tracks.append(track)
            answers.append((track.id, track.probabilities))
        return answers

    def _matches(self, boxes: Sequence[np.ndarray]) -> dict[int, _Track]:
        """Index of a box -> its track; the largest overlaps first."""
        pairs = [
            (overlap(box, track.box), i, j)
            for i, box in enumerate(boxes)
            for j, track in enumerate(self._tracks)
        ]
        matches: dict[int, int] = {}
        for same, i, j in sorted(pairs, reverse=True):
            if same > _SAME and i not in matches and j not in matches.values():
                matches[i] = j
        return {i: self._tracks[j] for i, j in matches.items()}

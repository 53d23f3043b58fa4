"""Faces that are followed from frame to frame."""

import numpy as np
import pytest

from qcs_jax.predict.answers import FaceFound
from qcs_jax.predict.video import Tracker

P, Q = np.array((0.9, 0.1)), np.array((0.1, 0.9))


def face(x, y=0.0, p=P):
    box = np.array((x, y, x + 100.0, y + 100.0))
    return FaceFound(p, ("joy", "fear"), box=box, pixels=np.zeros((4, 4, 3), np.uint8))


def test_ids_stay_with_their_faces_though_they_come_in_another_order():
    tracker = Tracker()
    for step in range(11):  # they pass each other, one above the other
        left, right = face(30 * step), face(300 - 30 * step, y=150)
        order = [right, left] if step % 2 else [left, right]
        answers = tracker.update(order, 0.04 * step)
        assert [x.id for x in answers] == [1, 2]
        assert answers[0].box is left.box and answers[1].box is right.box
    nearest, other = tracker.update([face(340, p=Q), face(310, y=10)], 0.44)
    assert (nearest.id, nearest.box[0], other.id) == (1, 310, 3)


def test_a_face_may_be_unseen_for_a_second():
    for gap, same in ((0.9, True), (1.1, False)):
        tracker = Tracker()
        tracker.update([face(0)], 5.0)
        assert tracker.update([], 5.0 + gap / 2) == ()
        [answer] = tracker.update([face(5, p=Q)], 5.0 + gap)
        assert (answer.id == 1) == same
        if not same:
            np.testing.assert_array_equal(answer.probabilities, Q)


def test_a_face_is_itself_in_the_next_frame_however_late():
    tracker = Tracker()
    for seconds in (0, 5, 10):
        assert tracker.update([face(0)], seconds)[0].id == 1
    tracker.update([], 15)
    assert tracker.update([face(0)], 20)[0].id == 2
    [answer] = tracker.update([face(5, p=Q)], 15)  # time does not go back
    assert answer.id == 2
    np.testing.assert_array_equal(answer.probabilities, P)


@pytest.mark.parametrize("rate", [10, 100])
def test_smoothing_does_not_depend_on_the_rate(rate):
    tracker = Tracker()
    tracker.update([face(0)], 0.0)
    for frame in range(1, rate + 1):
        [answer] = tracker.update([face(0, p=Q)], frame / rate)
    expected = Q + (P - Q) * np.exp(-1 / 0.5)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-9)

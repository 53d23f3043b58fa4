"""Faces that are followed from frame to frame."""

import numpy as np
import pytest

from qcs_jax.predict.tracking import Tracker


def box(x, y=0.0, side=100.0):
    return np.array((x, y, x + side, y + side))


P, Q = np.array((0.9, 0.1)), np.array((0.1, 0.9))


def test_ids_stay_with_their_faces_though_they_come_in_another_order():
    tracker = Tracker()
    for step in range(11):  # they pass each other, one above the other
        left, right = box(30 * step), box(300 - 30 * step, y=150)
        order, ids = ([right, left], [2, 1]) if step % 2 else ([left, right], [1, 2])
        answers = tracker.update(order, [P, P], 0.04 * step)
        assert [i for i, _ in answers] == ids
    answers = tracker.update([box(340), box(310, y=10)], [Q, P], 0.44)
    assert [i for i, _ in answers] == [3, 1]  # the nearest box wins


def test_a_face_may_be_unseen_for_a_second():
    for gap, same in ((0.9, True), (1.1, False)):
        tracker = Tracker()
        tracker.update([box(0)], [P], 5.0)
        assert tracker.update([], [], 5.0 + gap / 2) == []
        [(i, p)] = tracker.update([box(5)], [Q], 5.0 + gap)
        assert (i == 1) == same
        if not same:
            np.testing.assert_array_equal(p, Q)


def test_a_face_is_itself_in_the_next_frame_however_late():
    tracker, rate = Tracker(), 0.2
    for frame in range(3):
        [(i, _)] = tracker.update([box(0)], [P], frame / rate)
        assert i == 1
    tracker.update([], [], 3 / rate)
    [(i, _)] = tracker.update([box(0)], [P], 4 / rate)
    assert i == 2
    [(i, p)] = tracker.update([box(5)], [Q], 3 / rate)  # time does not go back
    assert i == 2
    np.testing.assert_array_equal(p, P)


@pytest.mark.parametrize("rate", [10, 100])
def test_smoothing_does_not_depend_on_the_rate(rate):
    tracker = Tracker()
    tracker.update([box(0)], [P], 0.0)
    for frame in range(1, rate + 1):
        [(_, p)] = tracker.update([box(0)], [Q], frame / rate)
        assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(p, Q + (P - Q) * np.exp(-1 / 0.5), rtol=1e-9)

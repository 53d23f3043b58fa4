"""A camera, whose driver is played: what is looked at is what it sees now."""

import sys
import threading
import time

import numpy as np
import pytest

from qcs_jax.predict import video

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


class Driver:
    """Of OpenCV, whose pixels are blue, green, red: frames 0, 1, ... when allowed."""

    def __init__(self):
        self.asked = self.allowed = 0
        self.grabbing = self.released = self.ended = False
        self._permits = threading.Semaphore(0)
        self.get = {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}.get

    def isOpened(self):
        return True

    def grab(self):
        self.asked, self.grabbing = self.asked + 1, True
        self._permits.acquire()
        self.grabbing = False
        return not self.ended

    def retrieve(self):
        return True, np.full((48, 64, 3), (self.asked - 1, 20, 30), np.uint8)

    def release(self):
        self.released = not self.grabbing  # or OpenCV would crash

    def give(self, frames):
        """Gives so many frames, and returns when the next is asked for."""
        self.allowed += frames
        self._permits.release(frames)
        late = time.monotonic() + 60
        while self.asked <= self.allowed and not self.ended:
            assert time.monotonic() < late
            time.sleep(0.001)

    def end(self):
        self.ended = True
        self._permits.release()


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: driver)
    monkeypatch.setitem(sys.modules, "av", None)  # a camera needs no extra
    yield driver
    driver.end()


def test_the_newest_frame_is_seen(driver):
    with video.Video(0) as camera:
        assert (camera.size, camera.count) == ((64, 48), None)
        frames, seen = iter(camera), []
        for arrived in (1, 1, 5, 1):  # while the one before was looked at
            driver.give(arrived)
            index, seconds, image = next(frames)
            number, *_ = image.getpixel((5, 5))[::-1]
            assert image.getpixel((5, 5)) == (30, 20, number)
            seen.append((index, number, seconds))
        driver.end()
        assert next(frames, None) is None and camera.cut_off is None
    indices, numbers, seconds = zip(*seen, strict=True)
    assert (indices, numbers) == ((0, 1, 2, 3), (0, 1, 6, 7))
    assert seconds[0] == 0 and sorted(set(seconds)) == [*seconds]


def test_it_is_given_back_whatever_happens(driver):
    with pytest.raises(ZeroDivisionError), video.Video(0) as camera:
        driver.give(1)
        for _ in camera:
            threading.Timer(0.05, driver.end).start()  # when the next frame comes
            _ = 1 / 0
    assert driver.released

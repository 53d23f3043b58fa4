"""The window of `qcs-jax video --show`: on a desktop that is played, and on none."""

import sys

import numpy as np
import pytest
from PIL import Image

from qcs_jax.predict import video, video_command, window

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("av", reason="PyAV is not installed")

FRAMES, SIZE = 5, (400, 400)
SPACE, ESC = ord(" "), 27


@pytest.fixture(scope="module")
def clip(tmp_path_factory, portrait):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with video.writer(path, SIZE) as write:
        for i in range(FRAMES):
            x, y = 20 + 6 * i, 30 + 5 * i
            write(portrait.crop((x, y, x + SIZE[0], y + SIZE[1])), 2 * i)
    return path


class Desktop:
    """What OpenCV does where it has windows; `keys` are pressed one after another.

    A key is a function, for what happens meanwhile, a code, or -1: none is pressed.
    """

    def __init__(self, monkeypatch):
        self.shown, self.keys, self.sizes, self.open, self.waits = [], [], [], None, 0
        for name in ("imshow", "waitKey", "getWindowProperty"):
            monkeypatch.setattr(cv2, name, getattr(self, name))
        for name, open in (("namedWindow", True), ("destroyAllWindows", False)):
            monkeypatch.setattr(
                cv2, name, lambda *_, open=open: setattr(self, "open", open)
            )
        monkeypatch.setattr(cv2, "resizeWindow", lambda _, *x: self.sizes.append(x))
        monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
        monkeypatch.setattr(window, "_can_open", lambda: True)

    def imshow(self, title, pixels):
        assert self.open
        self.shown.append(pixels.copy())

    def waitKey(self, milliseconds):
        assert milliseconds > 0  # 0 would wait for ever
        self.waits += 1
        key = self.keys.pop(0) if self.keys else -1
        return key() if callable(key) else key

    def getWindowProperty(self, title, which):
        assert which == cv2.WND_PROP_VISIBLE
        if self.open is None:
            raise cv2.error("NULL guiReceiver (please create a window)")
        return float(self.open)


@pytest.fixture
def desktop(monkeypatch):
    return Desktop(monkeypatch)


def test_it_shows_what_is_drawn(run, classifier, clip, desktop, tmp_path, capsys):
    drawn = tmp_path / "x.mp4"
    argv = [str(clip), f"--checkpoint={run}", "--show", f"--draw={drawn}"]
    assert video_command.main(argv) == 0
    frames = list(classifier.predict_video(clip))
    assert len(desktop.shown) == FRAMES and all(frame.faces for frame in frames)
    for shown, frame in zip(desktop.shown, frames, strict=True):
        np.testing.assert_array_equal(shown[..., ::-1], np.asarray(frame.draw()))
    with video.Video(drawn) as read:
        assert len(list(read)) == FRAMES
    assert (desktop.open, desktop.sizes) == (False, [SIZE])
    assert capsys.readouterr().out.startswith("5 frames, 1 face, seen 5 times\n")


def closed(desktop, how):
    desktop.open = how
    return -1


@pytest.mark.parametrize(
    "end", ["q", "Q", "Esc", "closed", "gone"], ids=lambda name: name
)
def test_a_key_or_closing_it_ends_the_video(run, clip, desktop, capsys, end):
    keys = {"q": ord("q"), "Q": ord("Q"), "Esc": ESC | 1 << 20}  # Num Lock is on
    how = {"closed": False, "gone": None}.get(end)
    desktop.keys = [-1, keys.get(end, lambda: closed(desktop, how))]
    assert video_command.main([str(clip), f"--checkpoint={run}", "--show"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 frames, ") and not err  # nothing is missing of the file
    assert len(desktop.shown) == 2 and desktop.open is False


def test_the_space_bar_pauses(run, clip, desktop, capsys):
    seen = []

    def look():
        seen.append(len(desktop.shown))
        return -1

    desktop.keys = [-1, SPACE, look, look, look, SPACE, look]
    argv = [str(clip), f"--checkpoint={run}", "--show"]
    assert video_command.main(argv) == 0
    assert seen == [2, 2, 2, 3] and len(desktop.shown) == FRAMES
    assert desktop.waits == FRAMES + 4
    desktop.shown.clear()
    desktop.keys = [SPACE, -1, ord("q")]
    assert video_command.main(argv) == 0
    assert len(desktop.shown) == 1 and not desktop.keys


def test_a_large_video_fits_the_screen(desktop):
    with window.Window() as opened:
        opened.show(Image.new("RGB", (3840, 2400)), 0.0)
    assert desktop.sizes == [(1152, 720)] and desktop.shown[0].shape == (2400, 3840, 3)


def test_where_there_is_no_window_it_ends_before_the_camera(
    desktop, monkeypatch, capsys
):
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: pytest.fail("it was on"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(window, "_can_open", lambda: False)
    assert video_command.main(["0", "--show"]) == 2
    no_display = capsys.readouterr().err
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    assert video_command.main(["0", "--show"]) == 2
    headless = capsys.readouterr().err
    assert "--show: no window can be opened on the display $DISPLAY: " in no_display
    assert "then pip install opencv-python; or look at it in a browser" in headless
    assert headless.strip().endswith("qcs-jax serve --page=page")
    for err in (no_display, headless):
        assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone may have no desktop")
def test_a_process_without_a_display_finds_out(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not window._can_open()

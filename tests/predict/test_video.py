"""Faces followed from frame to frame: by hand, and in a pan over a portrait."""

import csv
import os
import signal
import sys

import numpy as np
import pytest
import saved

import qcs_jax
from qcs_jax.predict import video, video_command
from qcs_jax.predict.answers import FaceFound
from qcs_jax.predict.detector import overlap
from qcs_jax.predict.tracking import Tracker
from qcs_jax.predict.video import writer

pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("av", reason="PyAV is not installed")

import clips  # noqa: E402

BOX = np.array((165.0, 135.0, 370.0, 330.0))  # of the face, drawn by hand
FRAMES, SIZE = 16, (400, 400)


def at(index):
    """When a frame is shown, in seconds: now and then one is missing."""
    return (index + index // 4) / 20


def corner(index):
    """Of the frame, in the portrait; in the last four nothing is seen."""
    return (10 + 6 * index, 20 + 5 * index) if index < FRAMES - 4 else (112, 2000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, portrait):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with writer(path, SIZE) as write:
        for i in range(FRAMES):
            x, y = corner(i)
            write(portrait.crop((x, y, x + SIZE[0], y + SIZE[1])), at(i))
    return path


@pytest.fixture(scope="module")
def frames(classifier, clip):
    return list(classifier.predict_video(clip))


def test_one_face_is_followed(classifier, clip, frames):
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [x.seconds for x in frames] == pytest.approx([at(i) for i in range(FRAMES)])
    p, before = 0.0, -np.inf
    for frame in frames[:-4]:
        [face] = frame.faces
        assert face.id == 1
        assert overlap(face.box, BOX - np.tile(corner(frame.index), 2)) > 0.5
        assert frame.image.size == SIZE
        kept, before = np.exp((before - frame.seconds) / 0.5), frame.seconds
        p = kept * p + (1 - kept) * classifier.predict(face.pixels).probabilities
        np.testing.assert_allclose(face.probabilities, p, atol=1e-5)  # smoothed
        assert face.label == classifier.class_names[p.argmax()]
    assert not any(frame.faces for frame in frames[-4:])
    some = classifier.predict_video(clip, every=5)
    assert [frame.index for frame in some] == [0, 5, 10, 15]


def test_the_command_writes_a_table_and_a_video(run, clip, frames, tmp_path, capsys):
    out, drawn = tmp_path / "x.csv", tmp_path / "x.mp4"
    argv = [str(clip), f"--checkpoint={run}", f"--out={out}", f"--draw={drawn}"]
    assert video_command.main(argv) == 0
    assert capsys.readouterr().out.startswith("16 frames, 1 face, seen 12 times\n")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    places = [(int(row["frame"]), float(row["seconds"])) for row in rows]
    assert places == [(i, pytest.approx(at(i), abs=1e-3)) for i in range(FRAMES)]
    assert all(row["error"] == "no face" and not row["face"] for row in rows[12:])
    for row, frame in zip(rows[:12], frames, strict=False):
        [face] = frame.faces
        assert (row["face"], row["label"], row["error"]) == ("1", face.label, "")
        p = [float(row[name]) for name in saved.CLASS_NAMES]
        np.testing.assert_allclose(p, face.probabilities, atol=1e-5)
    with video.Video(drawn) as read:
        assert (read.size, read.count) == (SIZE, FRAMES)
        for (_, seconds, image), frame in zip(read, frames, strict=True):
            assert seconds == pytest.approx(frame.seconds)
            expected = np.asarray(frame.draw(), float)
            assert np.abs(np.asarray(image, float) - expected).mean() < 6


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_work_is_whole(run, clip, tmp_path, capsys, monkeypatch, signum):
    watch = qcs_jax.Classifier.watch

    def interrupted(self, frames):
        for frame in watch(self, frames):
            if frame.index == 7:
                os.kill(os.getpid(), signum)
            yield frame

    monkeypatch.setattr(qcs_jax.Classifier, "watch", interrupted)
    drawn = tmp_path / "x.mp4"
    argv = [str(clip), f"--checkpoint={run}", f"--draw={drawn}"]
    assert video_command.main(argv) == 128 + signum
    assert capsys.readouterr().out.startswith("7 frames, 1 face, seen 7 times")
    with video.Video(drawn) as read:
        assert len(list(read)) == 7


def test_a_video_that_ends_early_is_a_warning(run, tmp_path, capsys):
    path = tmp_path / "x.mkv"
    clips.write(path, [i / 20 for i in range(40)])
    clips.cut(path, 0.5)
    assert video_command.main([str(path), f"--checkpoint={run}"]) == 0
    said = capsys.readouterr()
    assert 10 < int(said.out.partition(" frames, ")[0]) < 30
    assert said.err.startswith("warning: the video ends after ")
    assert said.err.endswith(" of 2.0 seconds: it may be cut off\n")


def test_files_need_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    for argv in ([f"{tmp_path}/a.mp4"], ["0", f"--draw={tmp_path}/x.mp4"]):
        assert video_command.main(argv) == 2
        assert capsys.readouterr().err == (
            'error: files of videos need av: pip install "qcs_jax[video]"\n'
        )


@pytest.mark.parametrize(
    "argv,message",
    [
        (["https://host/a.mp4"], "https://host/a.mp4: this is a URL, and nothing is"),
        (["broken.mp4"], "broken.mp4: FFmpeg cannot read it as a video: Inv"),
        (["77"], "there is no camera 77, or it is in use"),
        (["clip", "--out=x.json"], "x.json: give a name that ends in .csv"),
        ([os.fsdecode(b"\xff.mp4")], "there is no video "),
        (["broken.mp4", "--draw=linked.mp4"], "is the video itself: give another"),
    ],
)
def test_mistakes_are_one_line(tmp_path, clip, argv, message, capfd, monkeypatch):
    """FFmpeg and OpenCV, which write where Python does not see it, are silent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "linked.mp4").hardlink_to(tmp_path / "broken.mp4")
    assert video_command.main([str(clip) if x == "clip" else x for x in argv]) == 2
    out, err = capfd.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert err.count("\n") == 1


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
    for seconds in (0, 5, 10, 9):  # a time that goes back is that before
        [tracked] = tracker.update([face(0)], seconds)
        assert tracked.id == 1 and (tracked.probabilities >= 0).all()
    tracker.update([], 15)
    assert tracker.update([face(0)], 20)[0].id == 2


@pytest.mark.parametrize("rate", [10, 100])
def test_smoothing_does_not_depend_on_the_rate(rate):
    tracker = Tracker()
    tracker.update([face(0)], 0.0)
    for frame in range(1, rate + 1):
        [answer] = tracker.update([face(0, p=Q)], frame / rate)
    expected = Q + (P - Q) * np.exp(-1 / 0.5)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-9)

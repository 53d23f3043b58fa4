"""Videos of every kind: what FFmpeg writes is the oracle of what is read, and back."""

import contextlib
import itertools
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from qcs_jax.predict.video import Video, writer
from qcs_jax.system.errors import UserError

av = pytest.importorskip("av", reason="PyAV is not installed")

import clips  # noqa: E402

VARIABLE = [0, 0.3, 0.4, 0.45, 0.9, 1.0, 1.5, 1.8]
STEADY = [i / 20 for i in range(60)]


def times(path):
    with Video(path) as video:
        return [seconds for _, seconds, _ in video]


def images(path):
    with Video(path) as video:
        return [image for _, _, image in video]


@pytest.mark.parametrize(
    "name,codec,pix_fmt,start",
    [
        ("x.mp4", "libx264", "yuv420p", 0),
        ("x.mkv", "libx264", "yuv420p10le", 0),
        ("x.webm", "libvpx", "yuv420p", 0),
        ("x.ts", "libx264", "yuv420p", 3),
        ("x.gif", "gif", "rgb8", 0),
    ],
)
def test_times_are_those_of_the_file(tmp_path, name, codec, pix_fmt, start):
    shown = [start + time for time in VARIABLE]
    clips.write(tmp_path / name, shown, codec, pix_fmt)
    with Video(tmp_path / name, every=3) as video:
        indices, seconds, _ = zip(*video, strict=True)
        assert video.cut_off is None
    assert indices == (0, 3, 6) and seconds == pytest.approx((0, 0.45, 1.5))
    assert times(tmp_path / name) == pytest.approx(VARIABLE)
    for index, image in enumerate(images(tmp_path / name)):
        assert image.size == clips.SIZE
        bars = np.asarray(image, float)[:20, 4::8].mean(axis=(0, 2)) > 128
        assert bars.sum() == index % 8


def test_times_never_go_back_and_sound_that_begins_earlier_counts(tmp_path):
    late = [0.5 + time for time in VARIABLE]
    for name in ("x.mp4", "x.mkv"):
        clips.write(tmp_path / name, late, sound=5)
        assert times(tmp_path / name) == pytest.approx(late)
    joined, bare = tmp_path / "x.ts", tmp_path / "x.h264"
    clips.write(joined, STEADY)
    joined.write_bytes(2 * joined.read_bytes())
    steady = [i / 20 for i in range(2 * len(STEADY))]
    assert times(joined) == pytest.approx(steady)
    clips.write(bare, VARIABLE)  # which has a rate alone
    assert times(bare) == pytest.approx(steady[: len(VARIABLE)])


@pytest.mark.parametrize(
    "matrix,turn",
    [
        ((0, 1, -1, 0), Image.Transpose.ROTATE_270),
        ((-1, 0, 0, -1), Image.Transpose.ROTATE_180),
        ((0, -1, 1, 0), Image.Transpose.ROTATE_90),
        ((-1, 0, 0, 1), Image.Transpose.FLIP_LEFT_RIGHT),
        ((1, 0, 0, -1), Image.Transpose.FLIP_TOP_BOTTOM),
        ((0, 1, 1, 0), Image.Transpose.TRANSPOSE),
    ],
)
def test_videos_of_phones_are_turned(tmp_path, matrix, turn):
    plain, turned = tmp_path / "x.mp4", tmp_path / "y.mp4"
    clips.write(plain, VARIABLE)
    old, new = (
        struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        for a, b, c, d in ((1, 0, 0, 1), matrix)
    )
    head, track, rest = plain.read_bytes().partition(b"tkhd")
    turned.write_bytes(head + track + rest.replace(old, new, 1))
    with Video(turned) as video:
        assert video.size == images(plain)[0].transpose(turn).size
    for image, expected in zip(images(turned), images(plain), strict=True):
        np.testing.assert_array_equal(image, expected.transpose(turn))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_what_frames_have_beside_them_does_no_harm(tmp_path, kind):
    """A colour profile and EXIF; in another process, which they may end."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / f"x.{kind}"
    Image.fromarray(clips.pixels(3)).save(path, icc_profile=profile, exif=exif)
    code = (
        "import gc, numpy as np; from qcs_jax.predict.video import Video\n"
        f"with Video({str(path)!r}) as video: [(*_, image)] = video\n"
        "left, right = np.split(np.asarray(image), 2, axis=1)\n"
        "print(video.size, left.mean() > right.mean()); gc.collect()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    # What was dark above is dark at the right.
    expected = f"{clips.SIZE[::-1]} True\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_titles_are_in_any_encoding(tmp_path):
    clips.write(tmp_path / "x.mkv", VARIABLE)
    content = (tmp_path / "x.mkv").read_bytes()
    assert content.count(b"Lavf") > 1
    (tmp_path / "x.mkv").write_bytes(content.replace(b"Lavf", b"\xe9\xe8\xe0f"))
    assert times(tmp_path / "x.mkv") == pytest.approx(VARIABLE)


def test_what_is_damaged_is_left_out(tmp_path):
    path = tmp_path / "x.mp4"
    clips.write(path, STEADY)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    seen = times(path)
    assert len(seen) >= len(STEADY) - 5 and seen[-1] == STEADY[-1]


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_a_file_that_was_cut_off_says_so(tmp_path, name):
    clips.write(tmp_path / "x.wmv", STEADY[:6], "wmv2")
    with Video(tmp_path / "x.wmv") as video:  # does not say when its last frame ends
        assert len(list(video)) == 6 and video.cut_off is None
    path = tmp_path / name
    options = {"movflags": "faststart"} if name == "x.mp4" else {}
    clips.write(path, STEADY, sound=9, **options)  # sound that goes on is no loss
    with Video(path) as video:
        assert len(list(video)) == 60 and video.cut_off is None
    clips.cut(path, 0.5)
    with Video(path) as video:
        assert 20 < len(list(video)) < 40
        assert video.cut_off.startswith("the video ends after 1.")
        assert video.cut_off.endswith(" of 9.0 seconds")


def empty(path):
    """As work leaves it that ends before its first frame."""
    with writer(path, clips.SIZE):
        pass


SUBTITLE = "1\n00:00:00,000 --> 00:00:01,000\nhello\n"


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda path: path.mkdir(), "there is no video"),
        (lambda path: path.touch(), "x.mp4: FFmpeg cannot read it as a video: Invalid"),
        (lambda path: path.write_text(SUBTITLE), "x.mp4: there is no video in it"),
        (empty, "none of its frames can be decoded"),
    ],
)
def test_files_that_are_no_video(tmp_path, make, message, capfd):
    make(tmp_path / "x.mp4")
    with pytest.raises(UserError, match=message):
        Video(tmp_path / "x.mp4")
    assert capfd.readouterr() == ("", "")


def test_nothing_is_downloaded(tmp_path):
    requests = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                with server.accept()[0]:
                    requests.append(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        lines = "#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", url
        (tmp_path / "x.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST"]))
        with pytest.raises(UserError, match="FFmpeg cannot read it"):
            Video(tmp_path / "x.m3u8")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not requests


@pytest.mark.parametrize(
    "name", ["concat:x.mp4", "http:x.mp4", "a%03d.mp4", "-v.mp4", b"\xff.mp4"]
)
def test_any_name_will_do(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    with writer(name, clips.SIZE) as write:
        for index, seconds in enumerate(VARIABLE):
            write(Image.fromarray(clips.pixels(index)), seconds)
    assert os.listdir() == [name] and len(times(name)) == len(VARIABLE)


def test_what_is_written_plays_everywhere(tmp_path):
    size, color = (63, 47), (200, 50, 30)
    late = [0.5 + time for time in VARIABLE]
    late.append(late[-1])  # frames of one time, and of another size
    with writer(tmp_path / "x.mp4", size) as write:
        for seconds in late:
            write(Image.new("RGB", size, color), seconds)
            size = (30, 40)
    with av.open(str(tmp_path / "x.mp4")) as container:
        [stream] = container.streams
        assert (stream.codec.name, stream.format.name) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (64, 48, len(late))
        frames = list(container.decode(stream))
        assert [frame.time for frame in frames] == pytest.approx(
            [0, *late[1:]], abs=1e-4
        )
        assert abs(frames[-1].to_ndarray(format="rgb24") - np.float32(color)).max() < 4


def test_a_killed_process_leaves_a_video(tmp_path):
    path, left = tmp_path / "x.mp4", tmp_path / "y.mp4"
    with writer(path, clips.SIZE) as write:
        for index in range(200):  # so alike that one key frame will do
            write(Image.new("RGB", clips.SIZE), index / 20)
        shutil.copy(path, left)
    assert len(times(path)) == 200
    assert 100 < len(times(left)) < 200


def test_a_full_disk_is_an_error_and_leaves_a_video(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(UserError, match="could not be written to its end: File too"):
        with writer(tmp_path / "x.mp4", clips.SIZE) as write:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
            try:
                for index in itertools.count():
                    write(Image.fromarray(clips.pixels(index)), index / 20)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(times(tmp_path / "x.mp4")) > 20
    with pytest.raises(UserError, match="cannot be written as a video"):
        with writer(tmp_path, clips.SIZE):
            pass

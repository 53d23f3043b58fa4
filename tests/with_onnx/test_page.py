"""The page of `--format=web`, in Chromium: what it says is what Python says."""

import base64
import io
import json
import pathlib
import re
import shutil

import chromium
import matplotlib
import numpy as np
import pytest
from PIL import Image

import qcs_jax
from qcs_jax.export import __main__ as command
from qcs_jax.export import onnx

pytest.importorskip("jax2onnx", reason=f"ONNX: {onnx.INSTALL}")
pytestmark = [
    pytest.mark.skipif(not chromium.PROGRAM, reason="needs Chromium"),
    pytest.mark.skipif(not shutil.which("npm"), reason="npm fetches onnxruntime-web"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
RESULT = "document.getElementById('result')?.textContent"
STILL = """fetch(document.getElementById('photo').src)
  .then((response) => response.arrayBuffer())
  .then((data) => {
    let text = "";
    for (const byte of new Uint8Array(data)) text += String.fromCharCode(byte);
    return btoa(text);
  })"""
EXACT = ("turned.png", "two.png", "face.png", "wide.png", "none.png")
POOR = {"cut.png": ["cut off"], "dark.png": ["dark"], "small.png": ["small", "dark"]}
FOCUS = "document.activeElement.id || document.activeElement.textContent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page of the network that comes with the package, and pictures beside it."""
    folder = tmp_path_factory.mktemp("web") / "page"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qcs_jax.export.served.BATCHES", (2,))
        argv = ["--checkpoint=fer2013", "--format=web", f"--out={folder}"]
        assert command.main(argv) == 0
    with Image.open(PORTRAIT) as portrait:
        portrait = portrait.convert("RGB")
    portrait.save(folder / "portrait.jpg", quality=90)
    portrait.resize((360, 421)).rotate(15).save(folder / "turned.png")
    wide = Image.new("RGB", (1500, 700), (90, 120, 100))
    wide.paste(portrait.resize((450, 527)), (40, 90))
    wide.paste(portrait.resize((180, 210)), (1200, 400))
    wide.save(folder / "two.png")
    portrait.crop((190, 60, 360, 230)).resize((112, 112)).save(folder / "face.png")
    portrait.crop((160, 110, 510, 316)).save(folder / "wide.png")
    portrait.crop((0, 400, 120, 520)).resize((300, 300)).save(folder / "none.png")
    portrait.crop((280, 0, 512, 600)).save(folder / "cut.png")
    dark = portrait.point(lambda level: round(0.06 * level))
    dark.save(folder / "dark.png")
    dark.resize((41, 48)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    with chromium.served(folder) as address:
        yield f"{address}/index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, address):
    """A function that opens the page and returns its answer."""
    browser.complaints.clear()
    browser.look(width=1280)

    def answer(image):
        browser.open("about:blank")
        browser.open(f"{address}?image={image}")
        return json.loads(browser.wait(RESULT))

    return answer


@pytest.mark.parametrize("name", ["portrait.jpg", *EXACT, *POOR])
def test_it_says_what_python_says(browser, page, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    tolerance = 1e-3 if name.endswith(".jpg") else 1e-5  # decoders of JPEG may differ
    expected, answer = qcs_jax.load().predict_photo(name).to_dict(), page(name)
    assert len(answer["faces"]) == {"two.png": 2, "none.png": 0}.get(name, 1)
    near = {"probabilities": tolerance, "score": 1e-3, "box": 0.11, "landmarks": 0.11}
    for actual, face in zip(answer["faces"], expected["faces"], strict=True):
        for key, atol in near.items():
            shown, value = actual.pop(key), face.pop(key)
            if isinstance(value, dict):
                assert list(shown) == list(value)
                shown, value = list(shown.values()), list(value.values())
            if value is not None:
                np.testing.assert_allclose(shown, value, atol=atol)
    assert answer == expected
    assert not browser.complaints


def test_each_face_gets_a_box_bars_and_a_map(browser, page):
    faces = page("two.png")["faces"]
    browser.wait("document.querySelectorAll('#cards .legend').length === 2")
    assert browser.run("document.querySelectorAll('#boxes > *').length") == 2
    text = browser.run("document.getElementById('cards').innerText")
    for face in faces:
        for name, probability in face["probabilities"].items():
            assert name in text and f"{100 * probability:.1f}\xa0%" in text
    assert "Where the evidence is" in text
    assert "2 faces: " in browser.run("document.getElementById('status').textContent")
    assert not browser.complaints


@pytest.mark.parametrize("name", ["face.png", *POOR])
def test_it_says_what_an_image_lacks(browser, page, name):
    lacks = POOR.get(name, [])
    [face] = page(name)["faces"]
    assert face["quality"] == lacks
    note = f"({', '.join(lacks)})" if lacks else "%"
    for place in ("status", "boxes"):
        text = browser.run(f"document.getElementById('{place}').textContent")
        assert text.rstrip(".").endswith(note)
    text = browser.run("document.getElementById('cards').innerText")
    doubt = f"Do not rely on this: the face is {' and '.join(lacks)}."
    assert (doubt in text) if lacks else ("rely" not in text)
    assert not browser.complaints


@pytest.mark.parametrize("width, dark", [(360, True), (1280, False)])
def test_nothing_is_wider_than_the_window(browser, page, width, dark):
    browser.look(width=width, dark=dark)
    page("two.png")
    assert browser.run("document.documentElement.scrollWidth") <= width
    shade = browser.run("getComputedStyle(document.body).backgroundColor")
    light = sum(map(float, re.findall(r"[\d.]+", shade)[:3])) / 3
    assert (light < 128) == dark and len(browser.screenshot()) > 10_000


@pytest.mark.parametrize(
    "name, words", [("no.png", "No such file"), ("broken.png", "image")]
)
def test_what_is_no_picture(browser, page, name, words):
    answer = page(name)
    assert answer["file"] == name and words in answer["error"]
    shown = browser.run("document.getElementById('error').innerText")
    assert shown.startswith(name) and words in shown


def test_the_keyboard_reaches_everything(browser, page, address):
    browser.open("about:blank")
    browser.open(address)
    browser.wait("!document.getElementById('camera').disabled")
    seen = []
    for _ in range(3):
        browser.press("Tab")
        seen.append(browser.run(FOCUS))
    assert seen == ["file", "camera", "Result as JSON"]


def test_nothing_leaves_the_machine(browser, page, address):
    """The policy of the page forbids it, whatever its code does."""
    page("face.png")
    sent = browser.run("fetch('https://example.org').then(() => 'sent', () => 'not')")
    assert sent == "not"
    assert "Content Security Policy" in json.dumps(browser.complaints)
    loaded = browser.run("performance.getEntriesByType('resource').map((x) => x.name)")
    outside = [x for x in loaded if not x.startswith((address[:-10], "blob:", "data:"))]
    assert set(outside) <= {"https://example.org/"}


def test_from_a_file_it_says_what_it_needs(browser, page, folder):
    browser.open((folder / "index.html").as_uri())
    browser.wait("document.body.innerText.includes('python -m http.server')")


def test_the_camera(folder, address, tmp_path):
    video = tmp_path / "camera.mjpeg"
    with Image.open(PORTRAIT) as portrait:
        frame = portrait.convert("RGB").resize((480, 560)).crop((0, 0, 480, 480))
    frame.resize((640, 640)).crop((0, 80, 640, 560)).save(tmp_path / "x.jpg")
    video.write_bytes((tmp_path / "x.jpg").read_bytes() * 10)
    browser = chromium.Chromium(
        tmp_path,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )
    try:
        browser.open(f"{address}?camera")
        seen = json.loads(browser.wait(RESULT))
        assert (seen["width"], seen["height"]) == (640, 480)
        said = browser.run("document.getElementById('status').textContent")
        assert said.startswith("The camera sees one face: ")
        browser.run("document.getElementById('still').click()")
        browser.wait("document.querySelectorAll('#cards .legend').length === 1")
        assert browser.run("document.getElementById('video').srcObject") is None
        # The pixels of a camera are its driver's: Python is given those of the still.
        still = base64.b64decode(browser.run(STILL))
        (expected,) = qcs_jax.load().predict_photo(Image.open(io.BytesIO(still))).faces
        for answer in (seen, json.loads(browser.run(RESULT))):
            (face,) = answer["faces"]
            probabilities = list(face["probabilities"].values())
            np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-3)
            np.testing.assert_allclose(face["box"], expected.box, atol=0.11)
        assert not browser.complaints
    finally:
        browser.close()

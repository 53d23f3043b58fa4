"""Bad input and bad days: one sentence each, and the service goes on."""

import asyncio
import io
import json
import struct
import tempfile
import threading
import time
import zlib

import pytest
from PIL import Image
from service import crop, encode
from starlette.testclient import TestClient

from qcs_jax.predict.cut import Cut
from qcs_jax.serve import asked
from qcs_jax.serve.desk import Told


def png_of(width, height):
    """The head of a PNG and one compressed line: more pixels than it has bytes."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def scans_of(count):
    """A JPEG that goes over its pixels again and again, in a few bytes each time."""
    data = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + count * last + data[-2:]


POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
)
BAD = {
    "nothing": (400, b"", "the body is empty"),
    "text": (422, b"no image", "not an image of a known format"),
    "a path": (422, b"/etc/passwd", "not an image"),
    "a URL": (422, b"https://host/face.jpg", "not an image"),
    "a pickle": (422, b"\x80\x04\x95", "not an image"),
    "a part": (422, crop(0)[:200], ""),
    "PostScript, which Pillow gives to a program": (422, POSTSCRIPT, "not an image"),
    "wide": (422, png_of(2**31 - 1, 1), "too large: "),
    "a bomb": (422, png_of(30_000, 30_000), "too large: "),
    "long and narrow": (422, png_of(8000, 10), "too large: 8000 x 10 pixels; the most"),
    "not what it says": (422, png_of(900, 900), ""),
    "many scans": (422, scans_of(200), "a JPEG with 210 scans, more than any"),
    "no pixels": (422, png_of(0, 9), ""),
}


@pytest.mark.parametrize("address", ["predict", "classify"])
@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore")  # of Pillow, about metadata and sizes
def test_what_is_no_image(name, address, client):
    status, body, sentence = BAD[name]
    answer = client.post(f"/v1/{address}", content=body)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"} and sentence in answer.json()["error"]
    if body:
        files = [("image", ("a.png", body)), ("image", ("b.png", crop(0)))]
        first, second = client.post("/v1/classify", files=files).json()
        assert first["error"] and second["label"]
        answer = client.post(f"/v1/{address}", files=files[:1] * 2)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("none of 2 images can be used; ")


def test_a_progressive_jpeg_is_taken(client):
    assert client.post("/v1/classify", content=scans_of(20)).status_code == 200


def test_what_is_two_formats_is_read_as_one_that_is_taken(client):
    """Pillow by itself takes it for a Photo CD, whose mark lies in the middle."""
    image = encode(Image.open(io.BytesIO(crop(0))), "WEBP")
    room = 2048 - len(image) - 8
    chunk = b"MARK" + struct.pack("<I", room + 2048) + bytes(room)
    chunk += b"PCD_" + bytes(2044)
    size = struct.pack("<I", len(image + chunk) - 8)
    both = image[:4] + size + image[8:] + chunk
    assert Image.open(io.BytesIO(both)).format == "PCD"
    for address in ("predict", "classify"):
        answers = [client.post(f"/v1/{address}", content=x) for x in (image, both)]
        assert answers[0].status_code == 200 and answers[0].text == answers[1].text


def test_the_largest_image_is_taken(serve):
    with TestClient(serve(megapixels=0.01).app) as client:
        for width, height, status in ((100, 100, 200), (101, 100, 422), (190, 9, 200)):
            image = Image.new("RGB", (width, height))
            answer = client.post("/v1/classify", content=encode(image))
            assert answer.status_code == status


FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
FORMS = {
    "no boundary": ({"content-type": "multipart/form-data"}, PART),
    "no end": (FORM, PART),
    "no files": (FORM, PART.replace(b"filename", b"f") + b"1\r\n--x--\r\n"),
    "nothing about it": (FORM, b"--x\r\nA: b\r\n\r\n1\r\n--x--\r\n"),
    "too many files": (FORM, (PART + b"1\r\n") * 33 + b"--x--\r\n"),
    "too many fields": (FORM, b"--x\r\nA: b\r\n\r\n\r\n" * 65 + b"--x--\r\n"),
    "another boundary": (FORM, PART.replace(b"--x", b"--y")),
    "long names": (FORM, PART.replace(b'"a"', b'"' + b"a" * 9999 + b'"')),
    "compressed": (FORM | {"content-encoding": "gzip"}, PART),
    "too long": ({}, bytes(1_000_001)),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_are_damaged(name, client):
    headers, body = FORMS[name]
    answer = client.post("/v1/classify", headers=headers, content=body)
    status = {"compressed": 415, "too long": 413}.get(name, 400)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}


def test_nothing_reaches_the_disk_or_the_log(client, monkeypatch, caplog):
    def write(*_, **__):
        raise AssertionError("a file was made")

    for name in ("NamedTemporaryFile", "SpooledTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, write)
    data = encode(Image.effect_noise((900, 900), 90))
    files = [("secret field", ("secret name.png", data)), ("b", ("b", b"secret"))]
    assert 700_000 < len(data) < 900_000
    with caplog.at_level("DEBUG", logger="qcs_jax.serve"):
        assert client.post("/v1/classify", files=files).status_code == 200
        client.get("/secret/path?secret=1")
        client.post("/v1/classify", content=b"secret")
    ours = [x.getMessage() for x in caplog.records if x.name == "qcs_jax.serve"]
    assert len(ours) == 2 and ours[0].startswith("/v1/classify 200 ")
    assert "secret" not in " ".join(ours) + client.get("/metrics").text


def call(app, *messages, path="/v1/classify", headers=(), forever=None):
    """Calls an application by hand; returns its status and JSON.

    After `messages` the caller sends `forever` again and again, or nothing more.
    """
    waiting, said = list(messages), []
    headers = [(k.encode(), v.encode()) for k, v in headers]

    async def receive():
        if waiting:
            return waiting.pop(0)
        if forever is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return forever

    async def send(message):
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    body = b"".join(x.get("body", b"") for x in said)
    return said[0]["status"], json.loads(body) if body else None


def chunk(data, more=True):
    return {"type": "http.request", "body": data, "more_body": more}


GONE = {"type": "http.disconnect"}


def test_a_body_without_end_is_not_read_to_it(serve, monkeypatch):
    monkeypatch.setattr(asked, "_DISCARD", 0.05)
    service = serve(body=1000)
    status, said = call(service.app, forever=chunk(bytes(99)))
    assert (status, said) == (413, {"error": "the body is longer than 1000 bytes"})
    for length in ("1001", "9" * 5000):
        headers = [("content-length", length)]
        assert call(service.app, headers=headers)[0] == 413  # nothing was sent yet
    assert service.desk.inside == 0


def test_slow_and_vanished_callers(serve):
    service = serve(seconds=0.2)
    status, said = call(service.app, chunk(crop(0)[:10]))
    assert (status, said["error"][:24]) == (408, "the body did not come wi")
    assert call(service.app, chunk(crop(0)[:10]), GONE)[0] == 499
    assert service.desk.inside == 0


@pytest.fixture
def held(serve, monkeypatch):
    """A service of two workers that find no faces until `go` is set."""
    service, go = serve(places=3, seconds=5.0), threading.Event()
    cut_out, began = service.desk._classifier.cut_out, []

    def slowly(data):
        began.append(data)
        go.wait(20)
        return cut_out(data)

    monkeypatch.setattr(service.desk._classifier, "cut_out", slowly)
    service.go, service.began = go, began
    yield service
    go.set()


def wait_until(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_too_many_are_told_to_come_back(held):
    answers = []
    with TestClient(held.app) as client:

        def ask(seed):
            answers.append(client.post("/v1/predict", content=crop(seed)))

        callers = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
        for caller in callers:
            caller.start()
        wait_until(lambda: held.desk.inside == 3)
        refused = client.post("/v1/predict", content=crop(9))
        ready = client.get("/readyz")
        assert client.get("/healthz").status_code == 200
        assert "qcs_requests_inside 3.0" in client.get("/metrics").text
        held.go.set()
        for caller in callers:
            caller.join()
        assert client.get("/readyz").json() == {"status": "ready"}
    for answer in (refused, ready):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert [x.status_code for x in answers] == [200] * 3
    assert held.desk.inside == 0 and len(held.began) == 3


def test_a_place_is_taken_until_the_work_ends(held):
    async def ask():
        with held.desk.place() as work:
            await held.desk.answer(
                [asked.Upload(crop(i)) for i in range(5)], crops=False, work=work
            )

    async def run():
        asking = asyncio.ensure_future(ask())
        while len(held.began) < 2:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert held.desk.inside == 1
        held.go.set()
        while held.desk.inside:
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert len(held.began) == 2  # what had not begun never does


def test_work_takes_no_longer_than_it_may(held, serve):
    # Their classifier is the one that is held.
    assert call(serve().app, chunk(crop(0), more=False))[0] == 200
    service, path = serve(seconds=0.3), "/v1/predict"
    status, said = call(service.app, chunk(crop(0), more=False), path=path)
    assert (status, said) == (504, {"error": "this takes longer than 0.3 seconds"})
    status, _ = call(service.app, chunk(crop(0), more=False), GONE, path=path)
    assert status == 499
    held.go.set()


def test_no_pixels_are_kept_while_others_are_looked_at(serve):
    service, work = serve(), []

    async def run():
        photo = [asked.Upload(crop(0)), asked.Upload(b"none")]
        return await service.desk.answer(photo, crops=False, work=work)

    told, _ = asyncio.run(run())
    assert told == Told(told.to_dict(), len(told.to_dict()["faces"]))
    json.dumps(told.to_dict())  # has numbers and words alone
    assert all(not isinstance(x.result(), Cut) for x in work)


def test_a_fault_of_the_service_is_told_as_one(serve, monkeypatch):
    service = serve()

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(service.desk._batches, "_run", broken)
    with TestClient(service.app, raise_server_exceptions=False) as client:
        answer = client.post("/v1/classify", content=crop(0))
        assert answer.status_code == 500 and "in its log" in answer.json()["error"]
        monkeypatch.undo()
        assert client.post("/v1/classify", content=crop(0)).status_code == 200
    assert service.desk.inside == 0

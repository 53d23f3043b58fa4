"""A thousand bodies that nobody meant: each is refused, or still is an image."""

import io
import random

import pytest
from PIL import Image
from service import crop
from starlette.testclient import TestClient

from qcs_jax.serve.asked import FORMATS

COUNT = 1000
KINDS = ("", "image/jpeg", "image/png", "application/json", "text/plain; charset=x")
KINDS += ("multipart/", "multipart/form-data; boundary=", "\x7f;;=,", "multipart/x;=")
BOUNDARY = "multipart/form-data; boundary=b"


def mutated(rng, data):
    """Bytes changed, cut out, doubled, or put into another order."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randrange(len(data) + 1), rng.randrange(1, 40)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = rng.randbytes(1)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at:at] = rng.randbytes(length)
            case 4:
                del data[rng.randrange(len(data) // 2, len(data) + 1) :]
    return bytes(data)


def form(rng, images):
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="%d"\r\n\r\n%s\r\n'
        % (i, rng.choice(images))
        for i in range(rng.randint(1, 3))
    ]
    return b"".join(parts) + b"--b--\r\n"


@pytest.fixture(scope="module")
def bodies():
    """Content types and bodies."""
    rng = random.Random(0)
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
    images = [crop(i, kind, side=24) for i, kind in enumerate(kinds)]
    cases = []
    for i in range(COUNT):
        image = rng.choice(images)
        match i % 4:
            case 0:
                cases.append((rng.choice(KINDS[:5]), mutated(rng, image)))
            case 1:
                cases.append((BOUNDARY, mutated(rng, form(rng, images))))
            case 2:
                cases.append((rng.choice(KINDS), rng.randbytes(rng.randrange(300))))
            case 3:
                sent = rng.choice([image, form(rng, images)])
                cases.append((rng.choice(KINDS), mutated(rng, sent)))
    return cases


def is_image(data):
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return sum(image.size) <= 2800
    except Exception:
        return False


@pytest.mark.filterwarnings("ignore")  # of Pillow, about damaged metadata
def test_every_answer_is_a_refusal_or_true(serve, bodies):
    service, statuses = serve(), []
    with TestClient(service.app) as client:
        for i, (kind, body) in enumerate(bodies):
            # Looking for faces takes longer: one in twenty.
            address = "/v1/predict" if i % 20 == 0 else "/v1/classify"
            headers = {"content-type": kind.encode("latin-1")}
            answer = client.post(address, content=body, headers=headers)
            statuses.append(answer.status_code)
            said = answer.json()
            if answer.status_code == 200:
                assert any(not x["error"] for x in said)
            else:
                assert 400 <= answer.status_code < 500, (i, said)
                assert said.keys() == {"error"} and "\n" not in said["error"]
            if not kind.startswith("multipart/"):
                assert (answer.status_code == 200) == is_image(body), (i, said)
        assert client.post("/v1/classify", content=crop(0)).status_code == 200
    assert service.desk.inside == 0
    assert statuses.count(200) > COUNT / 20 and statuses.count(422) > COUNT / 5
    assert statuses.count(400) > COUNT / 20

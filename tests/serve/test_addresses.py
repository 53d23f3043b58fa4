"""What else the service says, and to whom."""

import re

import pytest
from service import crop
from starlette.testclient import TestClient

import qcs_jax
from qcs_jax.serve import openapi

TOKEN = b"0123456789abcdef"


def test_what_it_says_of_itself(client, classifier):
    said = client.get("/v1/model").json()
    assert said["version"] == qcs_jax.__version__
    assert said["classes"] == list(classifier.class_names)
    assert said["preprocessing"] == {"resize": 112, "center": 104, "flip": False}
    assert said["card"]["network"].startswith("medium qcs")
    assert sorted({size for sizes in said["alike"] for size in sizes}) in (
        [1, 2, 4, 8, 16, 32],
        [],
    )
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_all_addresses_are_described_and_no_other(client):
    document = client.get("/openapi.json").json()
    assert document == openapi.DOCUMENT
    paths = {route.path for route in client.app.routes if route.path not in ("", "/")}
    assert paths == document["paths"].keys()
    page = client.get("/docs").text
    assert all(path in page for path in paths)
    # It loads nothing, least of all from elsewhere.
    assert not re.search(r"<(script|link|img|iframe)|https?:|url\(", page)
    assert client.get("/").url.path == "/docs"
    for path, status in (("/nothing", 404), ("/v1/predict", 405)):
        answer = client.get(path)
        assert answer.status_code == status and answer.json().keys() == {"error"}


def test_metrics(client):
    client.post("/v1/classify", content=crop(0))
    client.post("/v1/classify", content=b"none")
    client.get("/some/address")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'qcs_requests_total{path="/v1/classify",status="200"} 1.0',
        'qcs_requests_total{path="other",status="404"} 1.0',
        'qcs_images_total{result="refused"} 1.0',
        'qcs_batches_total{size="1"} 1.0',
    ):
        assert line in answer.text
    assert "process_resident_memory_bytes" in answer.text


OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")


def test_a_token(serve):
    with TestClient(serve(token=TOKEN).app) as client:
        for given in (None, "", "Bearer", "Bearer x", "Bearer " + TOKEN.decode()[:-1]):
            headers = {} if given is None else {"authorization": given}
            for answer in (
                client.post("/v1/predict", content=crop(0), headers=headers),
                client.post("/v1/classify", content=crop(0), headers=headers),
                client.get("/v1/model", headers=headers),
                client.get("/metrics", headers=headers),
            ):
                assert answer.status_code == 401 and "token" in answer.json()["error"]
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in OPEN:
            assert client.get(path).status_code == 200
        headers = {"authorization": b"bearer " + TOKEN}
        answer = client.post("/v1/classify", content=crop(0), headers=headers)
        assert answer.status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200


def test_the_page(serve, tmp_path):
    folder = tmp_path / "page"
    (folder / "runtime").mkdir(parents=True)
    (folder / "index.html").write_text("<p>faces")
    (folder / "page.js").write_text("")
    (folder / "runtime/ort.mjs").write_text("")
    (folder / "runtime/ort.wasm").write_bytes(b"")
    (tmp_path / "secret").write_text("")
    (folder / "link").symlink_to(tmp_path / "secret")
    with TestClient(serve(page=folder).app) as client:
        assert client.get("/").text == "<p>faces"
        for path, kind in {
            "page.js": "text/javascript",
            "runtime/ort.mjs": "text/javascript",
            "runtime/ort.wasm": "application/wasm",
        }.items():
            assert client.get(path).headers["content-type"].startswith(kind)
        for path in (
            "secret",
            "..%2fsecret",
            "%2e%2e/secret",
            "link",
            "runtime",
            "%00",
        ):
            assert client.get(path).status_code == 404, path
        assert client.post("/v1/classify", content=crop(0)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/docs"])
def test_heads_are_answered(path, client):
    assert client.head(path).status_code == 200

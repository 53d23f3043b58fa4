"""Answers are those of `qcs-jax predict --json`, whoever else asks."""

import json
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from service import crop
from starlette.testclient import TestClient

from qcs_jax.predict import __main__ as command
from qcs_jax.predict import network
from qcs_jax.serve.batches import SIZES


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Files of five faces, cut out already, one of them large enough to be reduced."""
    folder = tmp_path_factory.mktemp("crops")
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(crop(seed))
    (folder / "4.jpg").write_bytes(crop(4, "JPEG", side=1200))
    return folder


def form(paths):
    """A form that calls the files by their paths, as the command does."""
    return [("image", (str(path), path.read_bytes())) for path in paths]


def said(capsys, *argv):
    """What the command prints, and its exit status."""
    status = command.main(["--json", *map(str, argv)])
    return capsys.readouterr().out, status


def test_they_are_those_of_the_command(client, photographs, crops, capsys):
    photos = sorted(photographs.iterdir())
    for files, flags, address in (
        (photos, [], "predict"),
        (sorted(crops.iterdir()), ["--crops"], "classify"),
        (sorted(crops.iterdir()), [], "predict"),  # small ones are taken whole
    ):
        for path in files:
            expected, status = said(capsys, *flags, path)
            answer = client.post(f"/v1/{address}", files=form([path]))
            assert (answer.status_code, status) == (200, 0)
            assert answer.text == expected
            assert answer.headers["content-type"] == "application/json"
            raw = client.post(f"/v1/{address}", content=path.read_bytes()).json()
            assert raw == [json.loads(expected)[0] | {"file": None}]
    faces = sorted(crops.iterdir())
    several = client.post("/v1/classify", files=form(faces))
    assert several.text == said(capsys, "--crops", *faces)[0]
    several = client.post("/v1/predict", files=form(photos))
    assert several.text == said(capsys, *photos)[0]
    counts = [len(photo["faces"]) for photo in several.json()]
    assert counts == [0, 1, 2, 4]


def test_what_is_no_image_keeps_its_place(client, crops, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    paths = [crops / "0.png", bad, crops / "1.png"]
    expected, status = said(capsys, *paths)
    answer = client.post("/v1/predict", files=form(paths))
    assert (answer.status_code, status) == (200, 1)
    assert answer.text == expected and answer.json()[1]["error"]


def test_who_else_asks_changes_nothing(serve, photographs, crops):
    """Bit for bit, and nothing is compiled."""
    service = serve(wait=0.02)
    calls = [("predict", [path]) for path in photographs.iterdir()]
    calls += [("classify", [path]) for path in crops.iterdir()]
    calls += [("classify", [*crops.iterdir()][:n]) for n in (2, 3, 4, 5)]
    with TestClient(service.app) as client:

        def ask(call):
            return client.post(f"/v1/{call[0]}", files=form(call[1])).text

        alone = [ask(call) for call in calls]
        assert len({*alone}) == len(calls)
        programs = network.forward._cache_size()
        order = [*range(len(calls))] * 4
        random.Random(0).shuffle(order)
        with ThreadPoolExecutor(16) as callers:
            together = [*callers.map(lambda i: ask(calls[i]), order)]
        assert together == [alone[i] for i in order]
        assert network.forward._cache_size() == programs  # nothing was compiled


def test_faces_of_callers_share_a_call(serve, monkeypatch):
    """With a network for which the size of the batch changes nothing."""

    def run(pixels):
        go.wait(10)
        return pixels.reshape(len(pixels), -1)[:, :7].astype(np.float32) / 64

    go = threading.Event()
    service = serve(wait=0.5, threads=1)
    monkeypatch.setattr(service.desk._batches, "_run", run)
    monkeypatch.setattr(service.desk._batches, "alike", dict.fromkeys(SIZES, SIZES))
    forms = [[("a", crop(i)), ("b", crop(i + 1))] for i in range(6)]
    with TestClient(service.app) as client:

        def ask(files):
            return client.post("/v1/classify", files=files).text

        with ThreadPoolExecutor(6) as callers:
            answers = [callers.submit(ask, files) for files in forms]
            go.set()
            together = [answer.result() for answer in answers]
        assert batches_of(client) <= 3
        assert [ask(files) for files in forms] == together
        assert len({*together}) == 6


def batches_of(client):
    """Calls of the network so far."""
    text = client.get("/metrics").text
    return sum(map(float, re.findall(r"^qcs_batches_total{.*} (.*)$", text, re.M)))


def test_a_network_of_drawings_takes_all_images_whole(serve, photographs):
    with TestClient(serve(drawn=True).app) as client:
        data = (photographs / "2.png").read_bytes()
        [answer] = client.post("/v1/predict", content=data).json()
        assert answer.keys() == {"file", "label", "probabilities", "error"}

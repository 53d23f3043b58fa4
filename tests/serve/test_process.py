"""The process: what it says where it cannot start, and how it ends."""

import pathlib
import signal
import socket
import sys
import threading
import time

import pytest
from service import Process, crop

from qcs_jax.predict import __main__ as predict
from qcs_jax.serve import __main__ as command


@pytest.fixture
def wrong(tmp_path, capsys, monkeypatch):
    """Runs a command line that cannot be served; gives the line that it says."""
    monkeypatch.setattr(command, "_create", lambda *_: pytest.fail("it began"))

    def call(*argv):
        assert command.main(list(argv)) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith("error: ") and err.count("\n") == 1
        return err

    return call


def test_what_it_needs_to_start(wrong, tmp_path, monkeypatch):
    for host in ("0.0.0.0", "::", "a-host"):
        said = wrong(f"--host={host}")
        assert f"--host={host} lets others in: give --token-file=FILE" in said
    token = tmp_path / "token"
    assert "token: No such file" in wrong(f"--token-file={token}")
    for content in (b"", b" \n", b"two words", b"two\nlines", b"\xff"):
        token.write_bytes(content)
        assert "has no token: write one line" in wrong(f"--token-file={token}")
    for folder in (tmp_path, tmp_path / "none"):
        assert "has no index.html: give a folder" in wrong(f"--page={folder}")
    assert "no address of this machine" in wrong("--host=no host", "--insecure")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = wrong(f"--port={port}")
        assert f"cannot listen at 127.0.0.1, port {port} (Address already in " in said
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'need uvicorn: pip install "qcs_jax[serve]"' in wrong()


def test_answers_are_sent_at_once():
    """What waits for an acknowledgement takes 40 ms more: asyncio looks at this."""
    with command._listening("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_it_answers_all_that_it_has_taken_and_ends(photographs, tmp_path, capsys):
    """SIGTERM comes while eight ask; what is read to its end by then is answered."""
    photo = photographs / "4.png"
    assert predict.main([str(photo), "--json"]) == 0
    expected = capsys.readouterr().out.replace(f'"{photo}"', "null")
    data, answers = photo.read_bytes(), []
    with Process(TMPDIR=str(tmp_path)) as served:

        def ask():
            answers.append(served.ask("/v1/predict", data))

        callers = [threading.Thread(target=ask) for _ in range(8)]
        for caller in callers:
            caller.start()
        until = time.monotonic() + 30
        while served.inside() + len(answers) < 8:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert len(answers) < 8, "they were all answered before the signal"
        status, out, err = served.end(signal.SIGTERM)
        for caller in callers:
            caller.join()
    assert answers == [(200, expected)] * 8
    assert (status, out) == (0, "")
    lines = err.splitlines()
    assert len(lines) == 8 and all(" /v1/predict 200 " in line for line in lines), err
    assert not [*tmp_path.iterdir()]  # nothing is left, or written, on the disk


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="asks Linux")
def test_ctrl_c_ends_it_and_open_connections_do_not_keep_it():
    with Process() as served, served.connect() as idle:
        idle.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\n")
        assert served.ask("/v1/classify", crop(0))[0] == 200
        status, out, err = served.end(signal.SIGINT)
    assert (status, out) == (0, "") and "Traceback" not in err


def test_who_does_not_read_an_answer_does_not_keep_it():
    with Process("--timeout=2") as served, served.connect() as deaf:
        deaf.setblocking(False)
        asking = b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000
        until = time.monotonic() + 3  # by then it waits for the reader
        while asking and time.monotonic() < until:
            try:
                asking = asking[deaf.send(asking) :]
            except BlockingIOError:
                time.sleep(0.01)
        assert served.ask("/healthz")[0] == 200
        assert served.end(signal.SIGTERM)[0] == 0

"""Networks of the Hub, from a stand-in for its server on this machine."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest
import saved

import qcs_jax
from qcs_jax.checkpoint import CheckpointError, hub
from qcs_jax.export import __main__ as export

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import sys
from qcs_jax.checkpoint import Trained
from qcs_jax.system import command

def load():
    trained = Trained.load(sys.argv[1], branch="base")
    print(trained.step, *trained.class_names, trained.workdir)

sys.exit(command.run(load))
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does for the repository me/faces, revisions main and v1."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if "/resolve/" not in self.path:  # the package asks what it is used by
            return self.send_error(404)
        _, owner, name, _, revision, file = self.path.split("/")
        header, status = {"X-Repo-Commit": COMMIT}, 200
        path = self.server.folder / file
        if (owner, name) != ("me", "faces"):
            status, header["X-Error-Code"] = 401, "RepoNotFound"
        elif revision not in ("main", "v1", COMMIT):
            status, header["X-Error-Code"] = 404, "RevisionNotFound"
        elif not path.is_file():
            status, header["X-Error-Code"] = 404, "EntryNotFound"
        body = path.read_bytes() if status == 200 else b"{}"
        self.send_response(status)
        header |= {"ETag": f'"{len(body)}"', "Content-Length": len(body)}
        for key, value in header.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network as it was exported."""
    root = tmp_path_factory.mktemp("network")
    argv = [f"--checkpoint={saved.run(root / 'run', 3)}", f"--out={root / 'out'}"]
    assert export.main(["--format=safetensors", *argv]) == 0
    return root / "out"


@pytest.fixture
def server(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.asked = folder, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def load(tmp_path):
    """Loads a network in a process of its own, with a cache of its own."""

    def load(path, server=None, **environment):
        port = server.server_port if server else 9  # nobody answers there
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(tmp_path / "cache"),
            **environment,
        }
        argv = [sys.executable, "-c", SCRIPT, path]
        return subprocess.run(argv, env=environment, capture_output=True, text=True)

    return load


def test_downloaded_once_and_then_without_a_connection(server, load):
    expected = f"3 anger joy neutral {pathlib.Path('runs/me_faces')}\n"
    done = load("hf:me/faces", server)
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    asked = [path for path in server.asked if "/resolve/" in path]
    assert {path.rpartition("/")[2] for path in asked} == {"model.safetensors"}
    for again in (load("hf:me/faces"), load("hf:me/faces", HF_HUB_OFFLINE="1")):
        assert (again.returncode, again.stdout) == (0, expected), again.stderr
    assert load("hf:me/faces@v1", server).returncode == 0
    assert "/me/faces/resolve/v1/model.safetensors" in server.asked


@pytest.mark.parametrize(
    "path, words",
    [
        ("hf:me/none", "the Hub has no repository me/none, or a private one: log in"),
        ("hf:me/faces@v2", "the Hub's me/faces has no revision v2"),
        ("hf:faces", "hf:faces: give hf:OWNER/NAME"),
        ("hf:me/a--b", "the Hub's me/a--b cannot be downloaded: Cannot have -- or .."),
        ("hf:me/../x", "hf:me/../x: give hf:OWNER/NAME"),
    ],
)
def test_what_is_not_there(server, load, path, words):
    done = load(path, server)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {words}") and done.stderr.count("\n") == 1


def test_a_repository_of_something_else(server, load, folder, tmp_path):
    server.folder = tmp_path
    done = load("hf:me/faces", server)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the Hub's me/faces has no file model.safe")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    done = load("hf:me/faces", server)
    assert (
        done.returncode == 1 and "is damaged: it is not what was saved" in done.stderr
    )
    # What is downloaded is weights and JSON; a pickle is not even tried.
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'id'\ntR.")
    done = load("hf:me/faces", server, HF_HOME=str(tmp_path / "another"))
    assert done.returncode == 1 and "is no whole safetensors file" in done.stderr


def test_no_connection(load):
    done = load("hf:me/faces", HF_HUB_OFFLINE="1")  # or it tries for half a minute
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the Hub cannot be reached, and me/faces is")


def test_the_package_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub.fetch.cache_clear()
    with pytest.raises(Exception, match=r"pip install 'qcs_jax\[hub\]'"):
        hub.fetch("hf:me/faces", "model.safetensors")


def test_other_names_are_none_of_the_hub():
    assert hub.names("hf:me/faces") and not hub.names(pathlib.Path("runs/hf"))
    with pytest.raises(CheckpointError, match="give hf:OWNER/NAME"):
        hub.fetch(json.dumps("hf:"), "x")

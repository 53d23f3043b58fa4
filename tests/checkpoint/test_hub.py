"""Networks of the Hub, from a stand-in for its server on this machine."""

import http.server
import pathlib
import sys
import threading

import huggingface_hub.constants
import pytest
import saved

from qcs_jax.checkpoint import CheckpointError, Trained, load_variables, weights
from qcs_jax.system.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
    variables, description, step = load_variables(saved.run(root / "run", 3))
    weights.save(root / weights.FILE, variables, description | {"step": step})
    return root


@pytest.fixture
def server(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.asked = folder, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def here(server, tmp_path, monkeypatch):
    """Sends this process to the server, with a cache of its own."""
    constants = huggingface_hub.constants
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    template = template.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    weights.fetch.cache_clear()
    yield constants
    weights.fetch.cache_clear()


def test_downloaded_once_and_then_without_a_connection(here, server, monkeypatch):
    for offline in (False, True):
        monkeypatch.setattr(here, "HF_HUB_OFFLINE", offline)
        weights.fetch.cache_clear()
        trained = Trained.load("hf:me/faces", branch="base")
        assert (trained.step, trained.workdir) == (3, pathlib.Path("runs/me_faces"))
    asked = [path for path in server.asked if "/resolve/" in path]
    assert {path.rpartition("/")[2] for path in asked} == {"model.safetensors"}
    with pytest.raises(CheckpointError, match="^the Hub cannot be reached, and me/x"):
        Trained.load("hf:me/x")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'qcs_jax\[hub\]'"):
        Trained.load("hf:me/x")


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
def test_what_is_not_there(here, path, words):
    with pytest.raises(CheckpointError) as raised:
        Trained.load(path)
    assert str(raised.value).startswith(words) and "\n" not in str(raised.value)


def test_a_revision(here, server):
    assert Trained.load("hf:me/faces@v1").step == 3
    assert "/me/faces/resolve/v1/model.safetensors" in server.asked
    assert not weights.in_hub(pathlib.Path("runs/hf"))


def test_a_repository_of_something_else(here, server, tmp_path):
    server.folder = tmp_path
    with pytest.raises(CheckpointError, match="^the Hub's me/faces has no file"):
        Trained.load("hf:me/faces")
    # What is downloaded is weights and JSON; a pickle is not even tried.
    (tmp_path / weights.FILE).write_bytes(b"\x80\x04cos\nsystem\n(S'id'\ntR.")
    with pytest.raises(CheckpointError, match="is no whole safetensors file"):
        Trained.load("hf:me/faces")

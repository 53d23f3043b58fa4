"""Networks of the Hub, without a connection to it."""

import pathlib
import shutil
import sys

import huggingface_hub
import pytest
import saved
from huggingface_hub import constants, errors

from qcs_jax.checkpoint import CheckpointError, Trained, load_variables, weights
from qcs_jax.system.errors import UserError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A network as it was exported."""
    root = tmp_path_factory.mktemp("network")
    variables, description, step = load_variables(saved.run(root / "run", 3))
    weights.save(root / weights.FILE, variables, description | {"step": step})
    return root / weights.FILE


@pytest.fixture(autouse=True)
def cache(file, tmp_path, monkeypatch):
    """Where the Hub keeps me/faces, revisions main and v1, which were downloaded."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "models--me--faces", "0123456789" * 4
    (repository / "refs").mkdir(parents=True)
    for revision in ("main", "v1"):
        (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    weights.fetch.cache_clear()
    yield pathlib.Path(shutil.copy(file, repository / "snapshots" / commit))
    weights.fetch.cache_clear()


def test_what_was_downloaded_is_there_without_a_connection(monkeypatch):
    for path in ("hf:me/faces", "hf:me/faces@v1"):
        trained = Trained.load(path, branch="base")
        assert trained.step == 3 and trained.workdir.parent == pathlib.Path("runs")
        assert trained.workdir.name == path[3:].replace("/", "_").replace("@", "_")
    for path in ("hf:me/x", "hf:me/faces@v2"):
        with pytest.raises(CheckpointError, match="^the Hub cannot be reached"):
            Trained.load(path)
    assert not weights.in_hub(pathlib.Path("runs/hf"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r'pip install "qcs_jax\[hub\]"'):
        Trained.load("hf:me/x")


@pytest.mark.parametrize(
    "path, kind, words",
    [
        ("me/faces", errors.RepositoryNotFoundError, "no repository me/faces, or"),
        ("me/faces", errors.GatedRepoError, "me/faces asks for consent: accept"),
        ("me/faces@v2", errors.RevisionNotFoundError, "me/faces has no revision v2"),
        ("me/faces", errors.EntryNotFoundError, "me/faces has no file model.safetens"),
        ("me/a--b", None, "me/a--b cannot be downloaded: Cannot have -- or .."),
        ("faces", None, "hf:faces: give hf:OWNER/NAME"),
        ("me/../x", None, "hf:me/../x: give hf:OWNER/NAME"),
    ],
)
def test_what_is_not_there(monkeypatch, path, kind, words):
    def refuse(repository, file, revision):
        assert (repository, file) == ("me/faces", "model.safetensors")
        raise kind.__new__(kind)  # without the answer of a server

    if kind:
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(CheckpointError) as raised:
        Trained.load(f"hf:{path}")
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_pickle_is_not_even_tried(cache):
    cache.write_bytes(b"\x80\x04cos\nsystem\n(S'id'\ntR.")
    with pytest.raises(CheckpointError, match="is no whole safetensors file"):
        Trained.load("hf:me/faces")

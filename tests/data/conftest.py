"""Makes `qcs_jax.data` importable, and prepares data sets in the folder of a test."""

import pathlib

import pytest

from qcs_jax.input import prepare as command
from qcs_jax.input import sources

command.builders("command")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command; tmp_path/prepared is its data_dir, a path the manual_dir.

    Returns its exit code, what it printed, and its error message.
    """
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))

    def call(*args):
        paths = {x: f"--manual_dir={x}" for x in args if isinstance(x, pathlib.Path)}
        code = command.main([paths.get(x, x) for x in args])
        captured = capsys.readouterr()
        _, mark, error = captured.err.partition("error: ")
        return code, captured.out, (mark + error).strip()

    return call


@pytest.fixture
def prepare(run):
    """Runs the command, which succeeds; returns what it printed."""

    def call(*args):
        code, out, error = run(*args)
        assert (code, error) == (0, "")
        return out

    return call


@pytest.fixture
def refuse(run, finished, tmp_path):
    """Runs the command, which fails and leaves what there was; returns the error."""

    def call(*args):
        before = finished()
        code, out, error = run(*args)
        assert code == 1 and "Traceback" not in out
        assert finished() == before and not list(tmp_path.rglob("incomplete*"))
        return error

    return call


@pytest.fixture
def finished(tmp_path):
    """Lists what is prepared completely, as "NAME/CONFIG/VERSION"."""

    def call(root=tmp_path / "prepared"):
        infos = root.glob("**/[0-9]*/dataset_info.json")
        return sorted(path.parent.relative_to(root).as_posix() for path in infos)

    return call


@pytest.fixture
def stored(tmp_path):
    """Opens a split that `run` has prepared, as training does.

    Returns the source, and {id: (label, encoded image)}.
    """

    def read(name, split):
        source = sources.open_split(name, split, tmp_path / "prepared")
        examples = range(len(source))
        pairs = zip(source.labels, source.encoded(examples), strict=True)
        by_id = dict(zip(source.ids(examples), pairs, strict=True))
        assert len(by_id) == len(source)
        return source, by_id

    return read

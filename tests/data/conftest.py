"""Makes the builders importable by bare names, as `qcs_jax.prepare` does."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "data"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command with tmp_path/prepared as data_dir.

    Returns its exit code, what it printed, and its error message.
    """
    import prepare

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))

    def call(*args):
        code = prepare.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        _, found, error = captured.err.partition("error: ")
        return code, captured.out, (found + error).strip()

    return call


@pytest.fixture
def stored(tmp_path):
    """Opens a split that `run` has prepared, as training does.

    Returns the source, and {id: (label, encoded image)}.
    """
    from qcs_jax.input import sources

    def read(name, split):
        source = sources.open_split(name, split, tmp_path / "prepared")
        examples = range(len(source))
        pairs = zip(source.labels, source.encoded(examples), strict=True)
        found = dict(zip(source.ids(examples), pairs, strict=True))
        assert len(found) == len(source)
        return source, found

    return read

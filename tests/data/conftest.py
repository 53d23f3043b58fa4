"""Makes `qcs_jax.data` importable, and prepares data sets in the folder of a test."""

import pytest

from qcs_jax.input import prepare, sources

prepare.builders("command")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command with tmp_path/prepared as data_dir.

    Returns its exit code, what it printed, and its error message.
    """
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))

    def call(*args):
        code = prepare.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        _, mark, error = captured.err.partition("error: ")
        return code, captured.out, (mark + error).strip()

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

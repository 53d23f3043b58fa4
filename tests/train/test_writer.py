"""Where a run's numbers go."""

import functools

import pytest
import tqdm

from qcs_jax.train.writer import Writer


def write(folder, **options):
    told = dict(start=0, total=2, images_per_step=4, tensorboard=False) | options
    with Writer(folder, **told) as writer:
        writer.advance()
        writer.say("half of it")


@pytest.fixture
def switched_off(monkeypatch):
    """What tqdm makes of TQDM_DISABLE=1, which it reads when it is imported."""
    init = functools.partialmethod(tqdm.tqdm.__init__, disable=True)
    monkeypatch.setattr(tqdm.tqdm, "__init__", init)


def test_a_progress_bar(tmp_path, capsys):
    write(tmp_path)
    out, err = capsys.readouterr()
    assert "0/2" in err and out.strip() == "half of it"


def test_the_user_may_switch_the_bar_off(tmp_path, capsys, switched_off):
    write(tmp_path)
    assert capsys.readouterr() == ("half of it\n", "")


def test_other_processes_say_nothing(tmp_path, capsys):
    write(tmp_path, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())

"""Programs on disk: where, and never at the price of an error or a warning.

JAX reads its settings once in a process, so each case has a process of its own.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from qcs_jax.system import compilation_cache

ENABLE = """
from qcs_jax.system import compilation_cache
import jax
{before}
compilation_cache.enable()
jax.jit(lambda x: {work})(1.0)
print(jax.config.jax_compilation_cache_dir)
print(jax.config.jax_persistent_cache_min_compile_time_secs)
"""
# Takes longer to compile than what is not worth a file.
WORK = "sum(jax.numpy.sin(x + i) for i in range(1000))"


def enable(tmp_path, before="", work="x", **environment):
    """The cache directory and the threshold of a fresh process."""
    ours = ("JAX_COMPIL", "JAX_PERSISTENT", "XDG_CACHE_HOME")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENABLE.format(before=before, work=work)],
        env=kept | {"HOME": str(tmp_path / "home")} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    directory, threshold = done.stdout.split()
    return directory, float(threshold)


def test_programs_are_kept_in_the_users_cache(tmp_path):
    """Also where JAX has compiled something before."""
    xdg, before = tmp_path / "xdg", "jax.jit(lambda x: x + 1)(1.0)"
    directory, _ = enable(tmp_path, before, WORK, XDG_CACHE_HOME=str(xdg))
    assert pathlib.Path(directory).parent == xdg / "qcs_jax" / "programs"
    assert any(path.is_file() for path in pathlib.Path(directory).rglob("*"))
    assert pathlib.Path(directory).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("xdg", ["", "relative"])
def test_without_xdg_it_is_below_home(tmp_path, monkeypatch, xdg):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    directory = compilation_cache._directory()
    assert directory.parent == tmp_path / ".cache/qcs_jax/programs"
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")  # cannot be written
    assert compilation_cache._directory() is None


def test_machines_that_share_a_home_share_no_programs(monkeypatch):
    names = set()
    for flags in ("flags\t: sse avx", "flags\t: sse avx avx512f", "Features\t: asimd"):
        for clock in (2, 3):
            text = f"processor\t: 0\n{flags}\n\ncpu MHz\t: {clock}\n{flags}\n"
            with monkeypatch.context() as patch:
                patch.setattr(pathlib.Path, "read_text", lambda *_, t=text, **__: t)
                names.add(compilation_cache._processor())
    assert len(names) == 3


def test_the_users_own_cache_is_left_alone(tmp_path, monkeypatch):
    mine = str(tmp_path / "mine")
    assert enable(tmp_path, JAX_COMPILATION_CACHE_DIR=mine) == (mine, 1.0)
    assert enable(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0") == ("None", 1.0)
    (tmp_path / "file").touch()  # nor is there a complaint where none can be
    unusable = str(tmp_path / "file")
    assert enable(tmp_path, work=WORK, XDG_CACHE_HOME=unusable) == ("None", 1.0)

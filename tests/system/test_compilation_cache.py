"""Programs on disk: where, and never at the price of an error or a warning."""

import os
import pathlib
import subprocess
import sys
import types

import jax
import pytest

from qcs_jax.system import runtime

# Also where JAX has compiled something before; the sum takes long enough to be kept.
PROGRAM = """
from qcs_jax.system import runtime
import jax
jax.jit(lambda x: x + 1)(1.0)
runtime.enable_compilation_cache()
jax.jit(lambda x: sum(jax.numpy.sin(x + i) for i in range(1000)))(1.0)
"""


def test_programs_are_kept_in_the_users_cache(tmp_path):
    ours = ("JAX_COMPIL", "JAX_PERSISTENT")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=kept | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    [directory] = (tmp_path / "qcs_jax" / "programs").iterdir()
    assert any(path.is_file() for path in directory.rglob("*"))
    assert directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("xdg", ["", "relative"])
def test_without_xdg_it_is_below_home(tmp_path, monkeypatch, xdg):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    directory = runtime._directory()
    assert directory.parent == tmp_path / ".cache/qcs_jax/programs"


def test_machines_that_share_a_home_share_no_programs(monkeypatch):
    names = set()
    for flags in ("flags\t: sse avx", "flags\t: sse avx avx512f", "Features\t: asimd"):
        for clock in (2, 3):
            text = f"processor\t: 0\n{flags}\n\ncpu MHz\t: {clock}\n{flags}\n"
            with monkeypatch.context() as patch:
                patch.setattr(pathlib.Path, "read_text", lambda *_, t=text, **__: t)
                names.add(runtime._processor())
    assert len(names) == 3


@pytest.mark.parametrize(
    "directory, enabled, xdg",
    [("/mine", True, ""), (None, False, ""), (None, True, "/proc/self")],
    ids=["the user has one", "none is wanted", "not writable"],
)
def test_nothing_is_set_where_it_must_not_be(monkeypatch, directory, enabled, xdg):
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    config = types.SimpleNamespace(
        jax_compilation_cache_dir=directory, jax_enable_compilation_cache=enabled
    )
    monkeypatch.setattr(jax, "config", config)
    runtime.enable_compilation_cache()  # there is no `config.update` to call

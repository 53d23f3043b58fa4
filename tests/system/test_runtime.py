"""The guard against wrong numbers, the CPU beside a GPU, and programs on disk."""

import importlib.metadata
import itertools
import os
import pathlib
import subprocess
import sys
import types

import jax
import jaxlib
import pytest

from qcs_jax.system import runtime

FLAG = "--xla_cpu_experimental_ynn_fusion_type"
AFFECTED = "0.10.2"


@pytest.fixture
def guard(monkeypatch):
    """Runs the guard for a jaxlib and a value of XLA_FLAGS; returns the new value."""

    def run(flags, jaxlib=AFFECTED, started=""):
        def version(name):
            if jaxlib is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return jaxlib

        monkeypatch.setattr(importlib.metadata, "version", version)
        bridge = types.SimpleNamespace(backends_are_initialized=lambda: bool(started))
        other_jax = types.SimpleNamespace(default_backend=lambda: started)
        monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)
        monkeypatch.setitem(sys.modules, "jax", other_jax)
        monkeypatch.setenv("XLA_FLAGS", flags or "")
        if flags is None:
            monkeypatch.delenv("XLA_FLAGS")
        runtime.guard()
        return os.environ.get("XLA_FLAGS")

    return run


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("before", [None, "", "--xla_a=1 --xla_b"])
def test_appends_the_flag_once(guard, before):
    """Without a word where JAX has not started, or computes elsewhere, or is exact."""
    after = guard(before)
    assert after == f"{before or ''} {FLAG}=".strip() == guard(after)
    assert guard(before, started="gpu") == guard(before, "0.12.0", "cpu") == after


@pytest.mark.parametrize(
    "flags, jaxlib",
    [(f"--xla_a=1 {FLAG}=TYPE_DOT", AFFECTED), ("--xla_a=1", "0.12.1"), (None, None)],
)
def test_leaves_what_the_user_set_and_other_versions_alone(guard, flags, jaxlib):
    assert guard(flags, jaxlib) == guard(flags, jaxlib, started="cpu") == flags


def run_python(code, **environment):
    """In a process to which nobody says anything about JAX."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(runtime.__file__).parents[2],
        env=kept | environment,
        capture_output=True,
        text=True,
    )


OTHER = """
import os, jax
from jax._src import xla_bridge
from jax._src.lib import xla_client
from qcs_jax.system import runtime

def start():
    print("another platform started")
    return xla_client.make_cpu_client()

xla_bridge.register_backend_factory("another", start, priority=1000)
"""


def test_another_platform_is_not_started_and_one_that_was_goes_on():
    """There are two clients: "another" is the default one, as a GPU would be."""
    code = "with runtime.on_cpu(): jax.numpy.ones(1)"
    assert run_python(OTHER + code).stdout == ""
    code = """
client = lambda: jax.numpy.ones(1).devices().pop().client
before = client(), jax.config.jax_platforms, dict(os.environ)
with runtime.on_cpu():
    assert client() is jax.devices("cpu")[0].client is not before[0]
assert (client(), jax.config.jax_platforms, dict(os.environ)) == before
"""
    done = run_python(OTHER + code)
    assert (done.stdout, done.stderr) == ("another platform started\n", "")


# Of this length the fusion makes a row wrong, as https://github.com/jax-ml/jax/issues/39103
# has it, but only where the whole is one program.
SUMS = """
import qcs_jax, jax, jax.numpy as jnp
rows = jnp.zeros((32_769, 3)).at[:, 0].set(jnp.arange(32_769.0))
squares = jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))
print((squares(rows) == jax.jit(squares)(rows)).all())
"""


def test_importing_the_package_is_enough_for_right_numbers():
    """Which jaxlib 0.10.2 does not give without the flag."""
    done = run_python(SUMS, JAX_PLATFORMS="cpu")
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.skipif(jaxlib.__version__ != AFFECTED, reason="this jaxlib is not wrong")
def test_warns_where_the_backend_runs():
    """What the guard looks at inside JAX still exists."""
    done = run_python("import jax; jax.devices(); import qcs_jax")
    assert done.returncode == 0
    assert "RuntimeWarning: JAX started before qcs_jax was imported" in done.stderr
    assert f"Import qcs_jax first, or set XLA_FLAGS={FLAG}=" in done.stderr


# Also where JAX has compiled something before; the sum takes long enough to be kept.
PROGRAM = """
from qcs_jax.system import runtime
import jax
jax.jit(lambda x: x + 1)(1.0)
runtime.enable_compilation_cache()
jax.jit(lambda x: sum(jax.numpy.sin(x + i) for i in range(1000)))(1.0)
"""


def test_programs_are_kept_in_the_users_cache(tmp_path):
    done = run_python(PROGRAM, XDG_CACHE_HOME=str(tmp_path), PYTHONWARNINGS="error")
    assert done.returncode == 0 and not done.stderr, done.stderr
    [directory] = (tmp_path / "qcs_jax" / "programs").iterdir()
    assert any(path.is_file() for path in directory.rglob("*"))
    assert directory.stat().st_mode & 0o077 == 0


def test_machines_that_share_a_home_share_no_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ("flags\t: sse avx", "flags\t: sse avx avx512f", "Features\t: asimd")
    for line, clock, xdg in itertools.product(flags, (2, 3), ("", "relative")):
        text = f"processor\t: 0\n{line}\n\ncpu MHz\t: {clock}\n{line}\n"
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        monkeypatch.setattr(pathlib.Path, "read_text", lambda *_, t=text, **__: t)
        assert runtime._directory().parent == tmp_path / ".cache/qcs_jax/programs"
    assert len([*(tmp_path / ".cache/qcs_jax/programs").iterdir()]) == 3


def test_nothing_is_set_where_it_must_not_be(monkeypatch):
    """Where the user has a cache, wants none, or cannot write one."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    for directory, enabled in (("/mine", True), (None, False), (None, True)):
        config = types.SimpleNamespace(
            jax_compilation_cache_dir=directory, jax_enable_compilation_cache=enabled
        )
        monkeypatch.setattr(jax, "config", config)
        runtime.enable_compilation_cache()  # there is no `config.update` to call

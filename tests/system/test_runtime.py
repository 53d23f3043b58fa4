"""The guard against wrong numbers: it acts when needed, and touches nothing else."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import types
import warnings

import pytest

from qcs_jax.system import runtime

FLAG = "--xla_cpu_experimental_ynn_fusion_type"


@pytest.fixture
def guard(monkeypatch):
    """Runs the guard for a jaxlib and a value of XLA_FLAGS; returns the new value."""

    def run(flags, jaxlib="0.10.2", started=False):
        def version(name):
            assert name == "jaxlib"
            if jaxlib is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return jaxlib

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(runtime, "_backend_has_started", lambda: started)
        if flags is None:
            monkeypatch.delenv("XLA_FLAGS", raising=False)
        else:
            monkeypatch.setenv("XLA_FLAGS", flags)
        runtime.guard()
        return os.environ.get("XLA_FLAGS")

    return run


@pytest.mark.parametrize("before", [None, "", "--xla_a=1", "--xla_a=1 --xla_b"])
def test_appends_the_flag_once(guard, before):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = guard(before)
        assert after == f"{before or ''} {FLAG}=".strip() == guard(after)


@pytest.mark.parametrize("flags", [f"{FLAG}=", f"--xla_a=1 {FLAG}=TYPE_DOT"])
def test_leaves_what_the_user_set(guard, flags):
    assert guard(flags) == guard(flags, started=True) == flags


@pytest.mark.parametrize("jaxlib", ["0.10.1", "0.10.20", "0.11.0", None])
def test_leaves_other_versions_alone(guard, jaxlib):
    for flags in (None, "--xla_a=1"):
        assert guard(flags, jaxlib, started=True) == flags


def test_warns_when_it_comes_too_late(guard):
    with pytest.warns(RuntimeWarning, match=f"XLA_FLAGS={FLAG}=") as caught:
        guard("", started=True)
    assert len(caught) == 1 and "Import qcs_jax first" in str(caught[0].message)


@pytest.mark.parametrize(
    "started,backend,expected",
    [(True, "cpu", True), (True, "gpu", False), (False, "cpu", False)],
)
def test_only_a_started_cpu_is_too_late(monkeypatch, started, backend, expected):
    bridge = types.SimpleNamespace(backends_are_initialized=lambda: started)
    jax = types.SimpleNamespace(default_backend=lambda: backend)
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)
    monkeypatch.setitem(sys.modules, "jax", jax)
    assert runtime._backend_has_started() is expected


def test_without_jax_nothing_has_started(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax._src.xla_bridge", raising=False)
    assert runtime._backend_has_started() is False


def run_python(code):
    left_out = "XLA_FLAGS", "JAX_PLATFORMS"
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(runtime.__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )


OTHER = """
from jax._src import xla_bridge
from jax._src.lib import xla_client

def start():
    print("another platform started")
    return xla_client.make_cpu_client()

xla_bridge.register_backend_factory("another", start, priority=1000)
"""


def test_another_platform_is_not_started_and_one_that_was_goes_on():
    """There are two clients: "another" is the default one, as a GPU would be."""
    code = """
import os, jax
from qcs_jax.system import runtime
with runtime.on_cpu(): jax.numpy.ones(1)
"""
    assert run_python(OTHER + code).stdout == ""
    code = """
import os, jax
from qcs_jax.system import runtime
client = lambda: jax.numpy.ones(1).devices().pop().client
before = client(), jax.config.jax_platforms, dict(os.environ)
with runtime.on_cpu():
    assert client() is jax.devices("cpu")[0].client is not before[0]
assert (client(), jax.config.jax_platforms, dict(os.environ)) == before
"""
    done = run_python(OTHER + code)
    assert (done.stdout, done.stderr) == ("another platform started\n", "")


def test_importing_the_package_is_enough_and_warns_where_the_backend_runs():
    """What the guard looks at inside JAX still exists."""
    done = run_python("import os, qcs_jax; print(os.environ['XLA_FLAGS'])")
    assert (done.stdout.strip(), done.stderr) == (f"{FLAG}=", "")
    done = run_python("import jax; jax.devices(); import qcs_jax")
    assert done.returncode == 0
    assert "RuntimeWarning: JAX started before qcs_jax" in done.stderr

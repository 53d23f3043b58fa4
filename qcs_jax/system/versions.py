"""Which versions of all that computes are at work here."""

from __future__ import annotations

import functools
import importlib.metadata
import pathlib
import platform
import subprocess

# What the numbers depend on.
_PACKAGES = ("qcs_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that do the computing.

    Those of a checkout also say its commit.
    """
    numbers = {"python": platform.python_version(), "commit": _commit()}
    for package in _PACKAGES:
        try:
            numbers[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a bare checkout
            numbers[package] = "unknown"
    return numbers


@functools.cache
def _commit() -> str:
    """The commit of the checkout that this file is in; "unknown" outside of one."""
    checkout = pathlib.Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").exists():  # installed, perhaps within another
        return "unknown"
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except OSError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"

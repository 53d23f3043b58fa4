"""Hides from Python what `pip install qcs_jax` would not have installed."""

import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class _Without:
    """A finder that does not know some modules: a search for them ends without one."""

    def __init__(self, finder, names):
        self._finder, self._names = finder, names

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, fullname, path=None, target=None):
        if fullname in self._names:
            return None
        return self._finder.find_spec(fullname, path, target)


def hide():
    """Makes the import fail of what neither qcs_jax nor its dependencies need."""
    installed = _brought_by(Requirement("qcs_jax"), set())
    names = {
        module
        for module, packages in metadata.packages_distributions().items()
        if not installed & {canonicalize_name(package) for package in packages}
    }
    assert {"grain", "tensorflow_datasets", "matplotlib"} <= names
    sys.meta_path[:] = [_Without(finder, names) for finder in sys.meta_path]


def _brought_by(requirement, seen):
    """Names of the packages that are installed with one, itself included."""
    if str(requirement) in seen:
        return set()
    seen.add(str(requirement))
    try:
        needed = map(Requirement, metadata.requires(requirement.name) or [])
    except metadata.PackageNotFoundError:  # not on this system
        return set()
    found = {canonicalize_name(requirement.name)}
    for need in needed:
        wanted = ({"extra": extra} for extra in requirement.extras or {""})
        if need.marker is None or any(map(need.marker.evaluate, wanted)):
            found |= _brought_by(need, seen)
    return found

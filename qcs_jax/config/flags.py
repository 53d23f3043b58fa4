"""Reads a configuration as the command line gives it."""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from qcs_jax.system.errors import UserError

HELP = "a recipe such as configs/raf.py, or FILE:VARIANT"
EPILOG = "Any field of the configuration: --config.FIELD=VALUE"


def read_config(config: str, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """Runs a recipe and sets the fields that the command line overrides.

    Args:
      config: `FILE` or `FILE:VARIANT`. The file defines `get_config(variant)`.
      overrides: `--config.FIELD=VALUE`.

    Raises:
      UserError: if the file does not give a configuration, for a field that does not
        exist or a value of another type, or for any other argument.
    """
    values, argv = flags.FlagValues(), ["", *overrides]
    recipe = _run(config)
    try:
        config_flags.DEFINE_config_dict(
            "config", recipe, flag_values=values, sys_argv=argv
        )
        _, *rest = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        cause: Any = error
        while isinstance(cause, Exception) and cause.args:  # a KeyError in another
            cause = cause.args[0]
        told = " ".join(str(cause).split())
        field = told.strip("'")
        if field.isidentifier():  # all that ml_collections says of a new field
            told = f"there is no field {field!r} to set"
        raise UserError(told) from error
    if rest:
        raise UserError(
            f"unknown argument {rest[0]}; fields are set with --config.FIELD=VALUE"
        )
    return values.config


def _run(config: str) -> ml_collections.ConfigDict:
    """What `get_config` of a recipe returns."""
    path, colon, variant = config.partition(":")
    if not pathlib.Path(path).is_file():
        raise UserError(f"--config={config}: there is no file {path}")
    spec = importlib.util.spec_from_file_location("recipe", path)
    if spec is None or spec.loader is None:
        raise UserError(
            f"--config={config}: give a Python file, whose name ends in .py"
        )
    module = importlib.util.module_from_spec(spec)
    arguments = [variant] if colon else []
    try:
        spec.loader.exec_module(module)
        get_config: Any = getattr(module, "get_config", None)
        if get_config is None:
            raise UserError("this file defines no get_config()")
        if colon and not inspect.signature(get_config).parameters:
            raise UserError(f"this file takes no variant: leave out :{variant}")
        return get_config(*arguments)
    except UserError as error:
        raise UserError(f"--config={config}: {error}") from error
    except Exception as error:  # a user's file may raise anything
        raise UserError(
            f"--config={config}: {type(error).__name__}: {error}"
        ) from error

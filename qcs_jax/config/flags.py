"""Reads a configuration as the command line gives it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from qcs_jax.system import files
from qcs_jax.system.errors import UserError

HELP = "a recipe such as raf, or a file of your own; with a variant, raf:dcs"
EPILOG = "Any field of the configuration: --config.FIELD=VALUE"


def read_config(config: str, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """Runs a recipe and sets the fields that the command line overrides.

    Args:
      config: `FILE` or `FILE:VARIANT`, or with the name of a recipe that comes along in
        place of the file, as "raf". The file defines `get_config(variant)`, or
        `get_config()` where it has no variants.
      overrides: `--config.FIELD=VALUE`, each.

    Raises:
      UserError: for whatever gives no configuration; values are not yet checked.
    """
    values, argv = flags.FlagValues(), ["", *overrides]
    recipe = _evaluate_recipe(config)
    try:
        config_flags.DEFINE_config_dict(
            "config", recipe, flag_values=values, sys_argv=argv
        )
        _, *rest = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(_message(error)) from error
    if rest:
        raise UserError(
            f"unknown argument {rest[0]}; fields are set with --config.FIELD=VALUE"
        )
    return values.config


def divided(config: str) -> tuple[str, str, str]:
    """`FILE`, ":" and `VARIANT`, or "" for both; `C:` is the beginning of a file."""
    drive, rest = os.path.splitdrive(config)
    name, colon, variant = rest.partition(":")
    return drive + name, colon, variant


def _evaluate_recipe(config: str) -> ml_collections.ConfigDict:
    name, colon, variant = divided(config)
    try:
        spec = importlib.util.spec_from_file_location("recipe", _file(name))
        if spec is None or spec.loader is None:
            raise UserError("give a Python file, whose name ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses of the file look
        spec.loader.exec_module(module)
        get_config: Any = getattr(module, "get_config", None)
        if get_config is None:
            raise UserError("this file defines no get_config()")
        if colon and not inspect.signature(get_config).parameters:
            raise UserError(
                f"this file takes no variant: leave out :{variant}, or define "
                f"get_config(variant) in it"
            )
        recipe = get_config(variant) if colon else get_config()
        if not isinstance(recipe, ml_collections.ConfigDict):
            raise UserError(f"get_config() returns {recipe!r}, not a configuration")
        return recipe
    except UserError as error:
        raise UserError(f"--config={config}: {error}") from error
    except Exception as error:  # a user's file may raise anything
        message = _one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"--config={config}: {message}") from error


def _file(name: str) -> pathlib.Path:
    """The recipe of this name that comes along; else the file of this path."""
    recipes = {path.stem: path for path in files.packaged("configs").glob("*.py")}
    path = recipes.get(name, pathlib.Path(name))
    if not path.is_file():
        kind = "recipe" if name.isidentifier() else "file"
        raise UserError(
            f"there is no {kind} {name}: give a file, or the name of a recipe: "
            f"{', '.join(sorted(recipes))}"
        )
    return path


def _message(error: Exception) -> str:
    """What absl and ml_collections say, who wrap one error into another."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    message = _one_line(error.args[0] if error.args else repr(error))
    if message.strip("'").isidentifier():  # all that is said of a field without a like
        return f"there is no field {message} to set"
    return message


def _one_line(text: object) -> str:
    return " ".join(str(text).split())

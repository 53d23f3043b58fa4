"""What the command tells about a checkpoint."""

from __future__ import annotations

import collections
import re
import textwrap
from typing import Any

from qcs_jax import models
from qcs_jax.config import base_config
from qcs_jax.convert.conversion import Conversion, default_residual


def of_conversion(conversion: Conversion) -> str:
    """Recognised, mapped, ignored, and how many parameters that are."""
    c, variables = conversion, conversion.variables
    size = {"full": "published size", "": "a size without a name"}
    what = f"{c.network}, {size.get(c.size_name, f'{c.size_name} size')}"
    if c.network == "backbone":
        what = f"backbone alone, {'-'.join(map(str, c.sizes.units))} units"
    else:
        what += f", {c.sizes.num_classes} classes"
    lines = [
        f"  recognised {what}",
        *(f"             {note}" for note in c.notes),
        f"  mapped     {len(c.mapped)} arrays: {_counts(variables)}",
        f"  ignored    {len(c.ignored)} arrays, {c.ignored_parameters:,} parameters "
        f"of parts that are never used",
    ]
    indent = " " * 13
    for groups in textwrap.wrap(_grouped(c.ignored), 75):
        lines.append(indent + groups)
    return "\n".join(lines)


def _counts(variables: dict[str, Any]) -> str:
    base = models.count({"params": variables["params"]["base"]})
    text = f"{models.count(variables):,} parameters"
    cross = "cross" in variables["params"]
    return f"{text}, {base:,} of the base branch" if cross else text


def _grouped(keys: tuple[str, ...]) -> str:
    """Modules with the number of their arrays; numbers in names become `*`."""
    groups: collections.Counter[str] = collections.Counter()
    for key in keys:
        module, _, leaf = key.removeprefix("module.").rpartition(".")
        counter = leaf == "num_batches_tracked"
        groups[f"*.{leaf}" if counter else re.sub(r"\.[0-9]+", ".*", module)] += 1
    return ", ".join(f"{name} ({count})" for name, count in groups.items())


def of_model(model: dict[str, Any], variables: dict[str, Any]) -> str:
    """What is written to PyTorch, and what its code must be told besides."""
    head = variables["params"]["base"]["vit"]["head"]["bias"]
    published = base_config().model.to_dict()
    published["residual"] = default_residual(model["name"], len(head))
    lines = [f"  holds      {model['name']}, {model['size']} size, {len(head)} classes"]
    lines.append(f"             {_counts(variables)}")
    for field in ("size", "interaction", "information", "gamma", "residual"):
        if model[field] != published[field]:
            lines.append(
                f"  note       {field} is {model[field]!r}, the published code has "
                f"{published[field]!r}: it must be changed to give the same results"
            )
    return "\n".join(lines)

"""How training starts: from weights of another checkpoint, and what it measures."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.traverse_util
import ml_collections
import numpy as np
from PIL import Image

from qcs_jax import checkpoint, convert
from qcs_jax.checkpoint import weights
from qcs_jax.images.decode import decode
from qcs_jax.predict.align import template_of
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run

_CSA = tuple(f"cross/csa{level}" for level in (1, 2, 3))
# What a network of other classes has in another shape.
HEADS = ("base/vit/head", "cross/vit/head", "cross/head")
# What a checkpoint may lack or have in excess: whole parts, never a piece of one.
PARTS = (
    *(f"{csa}/theta" for csa in _CSA),  # only networks that weigh two matrices have it
    *HEADS,
    *("base/backbone", "base/tokens", "base/vit", *_CSA, "cross/vit"),
)

_SHOWN = 20  # misfits in a message
_MEASURED = 300  # training images in which landmarks are looked for

# Above all learning rates of the paper, which are for a backbone that knows faces.
_FOR_PRETRAINED = 1e-5


def warnings_of(config: ml_collections.ConfigDict) -> list[str]:
    """Warns of a new run that starts from random weights and will hardly learn."""
    rate, name = config.optimizer.learning_rate, config.model.name
    if config.init_from or config.model.size != "full" or rate >= _FOR_PRETRAINED:
        return []
    return [
        f"from random weights the full size hardly learns at "
        f"optimizer.learning_rate={rate:g}: give --config.init_from=ir50.pth, a "
        f"backbone that knows faces, or take a network that comes with one, "
        f"--config=RECIPE:{name},medium"
    ]


def initialize(
    variables: Mapping[str, Any],
    path: str | os.PathLike[str],
    class_names: Sequence[str],
) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Replaces fresh variables by those of a checkpoint, as far as it has them.

    Args:
      variables: `{"params": ..., "batch_stats": ...}`, as `models.init` gives them.
      path: A checkpoint (see `checkpoint.load_variables`), or a PyTorch file of a whole
        network or of the backbone alone.
      class_names: In the order of the logits. The last layers of a checkpoint that has
        the same classes in another order are put into this one; those of a PyTorch
        file, which does not name its classes, are taken as they are.

    Returns:
      Variables of the same shapes; notes for the user, where each part came from; and
      what the checkpoint is, for JSON: its "config" and, if it says it, what it was
      "started_from" itself; of a PyTorch file the "network", see `Conversion`.

    Raises:
      UserError: if the checkpoint cannot be read, or its parts are of another size.
    """
    ours = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    their_names, size = tuple(class_names), "another size"
    if pathlib.Path(path).is_dir() or weights.find(path):
        read, description, _ = checkpoint.load_variables(path)
        their_names = tuple(description["class_names"])
        size = f"size {description['config']['model']['size']}"
        keys = ("config", "started_from")
        source = {key: description[key] for key in keys if key in description}
    else:
        conversion = convert.read_pth(path)
        read, source = conversion.variables, {"network": conversion.network}
    theirs = flax.traverse_util.flatten_dict(read, sep="/")
    here, there = set(map(_part, ours)), set(map(_part, theirs))
    same_classes = sorted(their_names) == sorted(class_names)
    heads = {  # of other classes, by their names or number
        head
        for head in {*HEADS} & here & there
        if not same_classes
        or ours[f"params/{head}/bias"].shape != theirs[f"params/{head}/bias"].shape
    }
    if same_classes:  # kernels [C, k] and biases [k] in our order
        order = [their_names.index(name) for name in class_names]
        same = _within(set(HEADS) - heads, theirs)
        theirs |= {name: np.asarray(value)[..., order] for name, value in same.items()}
    shared = (here & there) - heads
    of = f"{os.fspath(path)} is of a network of {size}"
    _check_fit(of, _within(shared, ours), _within(shared, theirs))
    merged = {**ours, **_within(shared, theirs)}
    parts_of = {
        f"weights of {os.fspath(path)}": shared,
        "fresh, the checkpoint has other classes": heads,
        "fresh, the checkpoint has none": here - there,
        "not used, this network has none": there - here,
    }
    notes = [f"{_listed(parts)}: {note}" for note, parts in parts_of.items() if parts]
    return flax.traverse_util.unflatten_dict(merged, sep="/"), notes, source


def _part(name: str) -> str:
    """`params/base/vit/head/bias` -> `base/vit/head`: the first of `PARTS` it is in."""
    module = name.partition("/")[2]
    return next((p for p in PARTS if f"{module}/".startswith(f"{p}/")), module)


def _within(parts: set[str], flat: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flat.items() if _part(name) in parts}


def _check_fit(of: str, ours: Mapping, theirs: Mapping) -> None:
    """Raises UserError unless both have the same arrays, in name and shape."""
    here, there = (
        {name: list(array.shape) for name, array in flat.items()}
        for flat in (ours, theirs)
    )
    misfits = [
        f"{x} is {there.get(x, 'missing')} there, {here.get(x, 'missing')} here"
        for x in sorted(here.keys() | there.keys())
        if here.get(x) != there.get(x)
    ]
    if misfits:
        raise UserError(
            f"{of}, check config.model; {len(misfits)} arrays differ:\n  "
            + "\n  ".join(misfits[:_SHOWN])
        )


def _listed(parts: set[str]) -> str:
    """Sorted, without what is inside of another part that is listed."""
    outer = {p for p in parts if not any(p.startswith(f"{o}/") for o in parts)}
    return ", ".join(sorted(outer))


def described(run: Run, started_from: dict[str, Any] | None) -> dict:
    """Returns the description of a run that begins, as JSON gives it back.

    Beside what `describe` says it has "landmarks" under "preprocessing": where they are
    in the training images, see `align.template_of`, or None where too few of these show
    a face (every process measures the same); and what `config.init_from` is.
    """
    description = run.description
    preprocessing = description["preprocessing"] | {"landmarks": _landmarks(run)}
    return description | {"preprocessing": preprocessing, "started_from": started_from}


def kept(run: Run, before: dict) -> dict:
    """Returns the description of a run that goes on from a checkpoint with another.

    What that did not say, since it is of an earlier version, is not said now.
    """
    keys = ("preprocessing", "started_from")
    return run.description | {key: before[key] for key in keys if key in before}


def _landmarks(run: Run) -> list | None:
    train, side = run.splits.whole_train, run.config.data.resize
    count = min(_MEASURED, len(train))
    some = np.random.default_rng(0).choice(len(train), count, replace=False)
    faces = []
    for data in train.encoded(some.tolist()):
        with contextlib.suppress(OSError):  # training names what it cannot decode
            faces.append(Image.fromarray(decode(data, side)))
    template = template_of(faces)
    return None if template is None else template.round(4).tolist()

"""Inference without batch normalisation: it is folded into the convolutions.

With running averages a norm is `a x + d`, with one a and one d per channel. After a
convolution, a goes into the weights and d is a bias. Before one, a goes into the
weights as well, but d is no bias: the zeros of the padding are put around what is
normalised already, so a kernel that reaches over the border sees less of d than others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax.models import layers

if TYPE_CHECKING:
    from qcs_jax.models.qcs import QCS


def fold(model: QCS, variables: dict) -> tuple[QCS, dict]:
    """Folds the base branch of a trained network; what is folded stays as it is.

    A bfloat16 network is left alone. Its norms subtract means in float32; folded, the
    means would first go through the sums of a convolution, rounded to 8 bits.

    Returns:
      A network with the same logits and features, to rounding, and its base branch:
      `{"params": {"base": ...}}`, no larger, sharing all that is no convolution of the
      backbone. It is for inference only: it has no statistics to train with.
    """
    if model.folded or model.dtype == jnp.bfloat16:
        return model, variables
    base = variables["params"]["base"]
    params, stats = base["backbone"], variables["batch_stats"]["base"]["backbone"]
    norm = params["stem_norm"], stats["stem_norm"]
    kernel, bias = _after(params["stem_conv"], *norm)
    unit = _fold_unit if model.backbone == "ir50" else _fold_plain_unit
    units = {k: unit(params[k], stats[k]) for k in params if "_unit" in k}
    backbone = {**params, "stem_conv": {"kernel": kernel, "bias": bias}, **units}
    del backbone["stem_norm"]
    backbone = jax.tree.map(lambda x: np.asarray(x, np.float32), backbone)
    folded = {"params": {"base": {**base, "backbone": backbone}}}
    return model.clone(folded=True, remat=False), folded


def _fold_unit(params: dict, stats: dict) -> dict:
    a, d = _affine(params["norm1"], stats["norm1"])
    kernel1 = np.asarray(params["conv1"]["kernel"])  # [3, 3, c_in, c]
    kernel2, bias = _after(params["conv2"], params["norm2"], stats["norm2"])
    folded = {
        "conv1": {"kernel": kernel1 * a.astype(np.float32)[:, None]},
        "shift": {"taps": d @ kernel1},
        "prelu": params["prelu"],
        "conv2": {"kernel": kernel2, "bias": bias},
    }
    if "shortcut_conv" in params:
        norm = params["shortcut_norm"], stats["shortcut_norm"]
        kernel, shortcut_bias = _after(params["shortcut_conv"], *norm)
        folded["shortcut_conv"] = {"kernel": kernel}
        folded["conv2"]["bias"] = bias + shortcut_bias
    return folded


def _fold_plain_unit(params: dict, stats: dict) -> dict:
    """Of `resnet29`, where norms follow all convolutions."""
    folded = {}
    for i in (1, 2):
        norm = params[f"norm{i}"], stats[f"norm{i}"]
        kernel, bias = _after(params[f"conv{i}"], *norm)
        folded[f"conv{i}"] = {"kernel": kernel, "bias": bias}
    return folded


def _after(conv: dict, norm: dict, stats: dict) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution and the norm after it."""
    a, d = _affine(norm, stats)
    # Kernels are large: in float64 this would take a good part of the time of loading.
    return np.asarray(conv["kernel"]) * a.astype(np.float32), d


def _affine(norm: dict, stats: dict) -> tuple[np.ndarray, np.ndarray]:
    """a and d of `a x + d`, float64 `[c]`: what a norm does at inference."""
    a = np.float64(norm["scale"]) / np.sqrt(np.float64(stats["var"]) + layers.EPSILON)
    return a, np.float64(norm["bias"]) - a * np.float64(stats["mean"])

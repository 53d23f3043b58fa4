"""The figures by name: from a scene to a picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qcs_jax.evaluate.run_log import read_log
from qcs_jax.figures import Unavailable, charts, maps, style
from qcs_jax.figures.scene import Scene
from qcs_jax.predict.interaction import Interaction

_IN_EMBEDDING = 2000  # images; more take minutes and hide each other
_PAPER_CLASS = "surprise"  # of Figure 13


def _heatmaps(scene: Scene) -> style.Figure:
    interaction = _with_similarities(scene)
    faces, images = scene.faces
    k = len(scene.class_names)
    keys = interaction.keys(images.reshape(-1, *images.shape[2:]))[-1]
    anchors, partners = np.tile(keys[:k], (k, 1, 1)), np.repeat(keys[k:], k, axis=0)
    importance = interaction.compare(anchors, partners).importance[0].reshape(k, k, -1)
    return maps.heatmaps(faces[0], faces[1], importance, scene.class_names)


def _attention(scene: Scene) -> style.Figure:
    """With negatives of the next class, where the network has negatives."""
    interaction = scene.interaction
    faces, groups = scene.faces
    if interaction.model.branches == 4:
        groups = np.concatenate([groups, np.roll(groups, -1, axis=1)])
    weights = interaction.attention(groups)
    return maps.attention(faces[0], [w[0] for w in weights], scene.class_names)


def _negatives(scene: Scene) -> style.Figure:
    """At the highest level."""
    interaction = _with_similarities(scene)
    if interaction.model.branches != 4:
        raise Unavailable(
            "a dcs compares images of one class: only a qcs has negatives"
        )
    faces, images = scene.faces
    names = [name.lower() for name in scene.class_names]
    shown = names.index(_PAPER_CLASS) if _PAPER_CLASS in names else 0
    others = np.delete(np.arange(len(names)), shown)
    pair = np.repeat(images[:, shown : shown + 1], len(others), axis=1)
    weights = interaction.attention(np.concatenate([pair, images[:, others]]))
    return maps.negatives(
        faces[:, shown],
        faces[0, others],
        weights[-1][:2],
        scene.class_names[shown],
        [scene.class_names[i] for i in others],
    )


def _matrices(scene: Scene) -> style.Figure:
    """An anchor with itself, with its class, with the next class."""
    interaction = scene.interaction
    faces, images = scene.faces
    keys = interaction.keys(np.concatenate([images[:, 0], images[:1, 1]]))[-1]
    same, different = scene.class_names[:2]
    return maps.matrices(
        faces[0, 0],
        np.concatenate([faces[:, 0], faces[:1, 1]]),
        interaction.compare(keys[[0, 0, 0]], keys),
        ["itself", "same class", "different class"],
        [same, same, same, different],
    )


def _embedding(scene: Scene) -> style.Figure:
    labels, features = scene.gallery.labels, scene.outputs[1]
    order = np.random.default_rng(scene.seed).permutation(len(labels))
    shown = np.sort(order[:_IN_EMBEDDING])
    points = charts.project(features[shown], scene.seed)
    return charts.embedding(points, labels[shown], scene.class_names)


def _with_similarities(scene: Scene) -> Interaction:
    if scene.interaction.model.interaction == "sdpa":
        raise Unavailable(
            "the network compares by scaled dot products, not by similarities"
        )
    return scene.interaction


DRAW: dict[str, Callable[[Scene], style.Figure]] = {
    "heatmaps": _heatmaps,
    "attention": _attention,
    "negatives": _negatives,
    "matrices": _matrices,
    "losses": lambda scene: charts.losses(read_log(scene.trained.workdir)),
    "confusion": lambda scene: charts.confusion(scene.confusion, scene.class_names),
    "distribution": lambda scene: charts.distribution(scene.splits, scene.class_names),
    "embedding": _embedding,
}

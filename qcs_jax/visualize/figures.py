"""The figures by name: from a scene to what is drawn."""

from __future__ import annotations

import numpy as np

from qcs_jax.visualize import Unavailable, charts, maps, matrices, style
from qcs_jax.visualize.curves import Curves
from qcs_jax.visualize.scene import Scene

_IN_EMBEDDING = 2000  # images; more take minutes and hide each other
_PAPER_CLASS = "surprise"  # of Figure 13


def heatmaps(scene: Scene) -> style.Figure:
    """Figure 8."""
    _need_csa(scene)
    faces, images = scene.faces(2)
    k = len(scene.class_names)
    keys = scene.interaction.keys(images.reshape(-1, *images.shape[2:]))[-1]
    anchors, partners = keys[:k], keys[k:]
    row, column = np.indices((k, k)).reshape(2, -1)
    importance, _ = scene.interaction.compare(anchors[column], partners[row]).importance
    return maps.heatmaps(*faces, importance.reshape(k, k, -1), scene.class_names)


def attention(scene: Scene) -> style.Figure:
    """Figure 9: with negatives of the next class, where the network has negatives."""
    _need_interaction(scene)
    faces, images = scene.faces(2)
    groups = images
    if scene.model.branches == 4:
        groups = np.concatenate([images, np.roll(images, -1, axis=1)])
    weights = scene.interaction.attention(groups)
    return maps.attention(faces[0], [w[0] for w in weights], scene.class_names)


def negatives(scene: Scene) -> style.Figure:
    """Figure 13, at the highest level."""
    _need_csa(scene)
    if scene.model.branches != 4:
        raise Unavailable(
            "a dcs compares images of one class: only a qcs has negatives"
        )
    faces, images = scene.faces(2)
    names = [name.lower() for name in scene.class_names]
    shown = names.index(_PAPER_CLASS) if _PAPER_CLASS in names else 0
    others = np.delete(np.arange(len(names)), shown)
    pair = np.repeat(images[:, shown : shown + 1], len(others), axis=1)
    weights = scene.interaction.attention(np.concatenate([pair, images[:, others]]))
    return maps.negatives(
        faces[:, shown],
        faces[0, others],
        weights[-1][:2],
        scene.class_names[shown],
        [scene.class_names[i] for i in others],
    )


def interaction_matrices(scene: Scene) -> style.Figure:
    """Figures 4 and 6: an anchor with itself, with its class, with the next class."""
    _need_interaction(scene)
    faces, images = scene.faces(2)
    keys = scene.interaction.keys(np.concatenate([images[:, 0], images[:1, 1]]))[-1]
    same, different = scene.class_names[:2]
    return matrices.matrices(
        faces[0, 0],
        np.concatenate([faces[:, 0], faces[:1, 1]]),
        scene.interaction.compare(keys[[0, 0, 0]], keys),
        ["itself", "same class", "different class"],
        [same, same, same, different],
    )


def losses(scene: Scene) -> style.Figure:
    """Figure 7."""
    return charts.losses(Curves.of(scene.log))


def confusion(scene: Scene) -> style.Figure:
    """Figure 12b."""
    return charts.confusion(scene.confusion, scene.class_names)


def distribution(scene: Scene) -> style.Figure:
    """Figure 12a."""
    return charts.distribution(scene.splits, scene.class_names)


def embedding(scene: Scene) -> style.Figure:
    """Base features in the plane."""
    labels, features = scene.gallery.labels, scene.outputs[1]
    order = np.random.default_rng(scene.seed).permutation(len(labels))
    shown = np.sort(order[:_IN_EMBEDDING])
    points = charts.project(features[shown], scene.seed)
    return charts.embedding(points, labels[shown], scene.class_names)


def _need_interaction(scene: Scene) -> None:
    if scene.model.branches == 1:
        raise Unavailable("a baseline has no cross branch and compares nothing")


def _need_csa(scene: Scene) -> None:
    _need_interaction(scene)
    if scene.model.interaction == "sdpa":
        raise Unavailable(
            "the network compares by scaled dot products, not by similarities"
        )


DRAW = {
    "heatmaps": heatmaps,
    "attention": attention,
    "negatives": negatives,
    "matrices": interaction_matrices,
    "losses": losses,
    "confusion": confusion,
    "distribution": distribution,
    "embedding": embedding,
}

"""Numbers as charts: losses, confusion, class sizes, embedding (Figures 7 and 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.system.errors import UserError
from qcs_jax.visualize import Unavailable, style
from qcs_jax.visualize.curves import Curves

_BRANCH = {"base": "base branch", "cross": "cross branch"}
_SPLIT = {"test": "test", "held_out": "held-out"}


@style.styled
def losses(curves: Curves) -> style.Figure:
    """Training losses of both branches, and test NLL and accuracy (Figure 7).

    Args:
      curves: Curves of a run.
    """
    figure = style.Figure(figsize=(style.WIDTH, 2.3))
    training, nll, accuracy = figure.subplots(1, 3)
    for color, (term, values) in zip(style.COLORS, curves.losses.items(), strict=False):
        training.plot(curves.epoch, values, ".", color=color, alpha=0.25, ms=3, mew=0)
        middle, mean = _epoch_means(curves.epoch, values)
        training.plot(middle, mean, color=color, lw=1.2, label=_BRANCH[term])
    training.set(ylabel="cross entropy (nats)", title="training loss")
    training.set_ylim(bottom=0)
    for i, (kind, (epoch, of_nll, of_accuracy)) in enumerate(
        curves.evaluations.items()
    ):
        look = dict(color=style.COLORS[2 + i], marker=style.MARKERS[i], ms=2.5, lw=1.2)
        look["linestyle"] = ("-", "--")[i]
        nll.plot(epoch, of_nll, label=_SPLIT[kind], **look)
        accuracy.plot(epoch, 100 * of_accuracy, label=_SPLIT[kind], **look)
    nll.set(ylabel="NLL (nats)", title="base branch, NLL")
    accuracy.set(ylabel="accuracy (%)", title="base branch, accuracy")
    for axes in (training, nll, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#E5E5E5", lw=0.5)
        axes.set_axisbelow(True)
        axes.legend()
    return figure


def _epoch_means(epoch: np.ndarray, values: np.ndarray):
    """Middle of each epoch and mean of the points in it."""
    # A step that ends an epoch belongs to it.
    number = np.ceil(epoch - 1e-9).astype(int)
    epochs = np.unique(number)
    return epochs - 0.5, np.array([values[number == e].mean() for e in epochs])


@style.styled
def confusion(counts: np.ndarray, class_names: Sequence[str]) -> style.Figure:
    """Confusion matrix, rows in per cent, with counts (Figure 12b).

    Args:
      counts: int `[k, k]`, images of each class (row) by prediction (column).
      class_names: k names.
    """
    k = len(class_names)
    totals = counts.sum(axis=1, keepdims=True)
    share = 100 * counts / np.maximum(totals, 1)
    side = min(max(0.62 * k + 1.9, 3.4), style.WIDTH)
    figure = style.Figure(figsize=(side, side - 0.7))
    axes = figure.subplots()
    drawn = axes.imshow(share, cmap=style.COUNTS, vmin=0, vmax=100)
    for i, j in np.ndindex(k, k):
        color = "white" if share[i, j] > 55 else "black"
        bold = "bold" if i == j else "normal"
        axes.text(
            j, i - 0.12, f"{share[i, j]:.1f}", color=color, fontweight=bold, **_AT
        )
        axes.text(j, i + 0.22, f"{counts[i, j]:,}", color=color, fontsize=5.5, **_AT)
    rotated: dict[str, Any] = dict(rotation=45, ha="right", rotation_mode="anchor")
    names = [style.wrapped(name, 20) for name in class_names]
    axes.set_xticks(range(k), labels=names, **rotated)
    axes.set_yticks(range(k), labels=names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="actual")
    hits, images = np.trace(counts), counts.sum()
    axes.set_title(f"accuracy {100 * hits / max(images, 1):.2f} % of {images:,} images")
    bar = figure.colorbar(drawn, ax=axes, label="% of the class", shrink=0.8)
    bar.outline.set_visible(False)
    return figure


_AT: dict[str, Any] = dict(ha="center", va="center")


@style.styled
def distribution(
    labels: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> style.Figure:
    """Images of each class in each split (Figure 12a).

    Args:
      labels: Split -> int `[m]`.
      class_names: k names.
    """
    k = len(class_names)
    figure = style.Figure(figsize=(style.WIDTH, 0.26 * k + 0.8))
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for axes, color, (split, found) in zip(
        panels, style.COLORS, labels.items(), strict=False
    ):
        counts = np.bincount(found, minlength=k)
        axes.barh(range(k), counts, color=color, height=0.7)
        for i, count in enumerate(counts):
            text = f" {count:,} ({100 * count / max(len(found), 1):.1f} %)"
            axes.text(count, i, text, va="center", fontsize=6.5)
        axes.set_xlim(0, 1.38 * max(counts.max(), 1))  # room for the texts
        axes.set(title=f"{split}: {len(found):,} images", xlabel="images")
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.tick_params(axis="y", length=0)
    names = [style.wrapped(name, 20) for name in class_names]
    panels[0].set_yticks(range(k), labels=names)
    panels[0].invert_yaxis()
    return figure


@style.styled
def embedding(
    points: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> style.Figure:
    """Embeddings of images in the plane, by class.

    Args:
      points: `[m, 2]`, from `project`.
      labels: int `[m]`.
      class_names: k names.
    """
    figure = style.Figure(figsize=(5.2, 4.0))
    axes = figure.subplots()
    size = np.clip(6000 / max(len(points), 1), 5, 25)
    for label, name in enumerate(class_names):
        mine = points[labels == label]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=size,
            color=style.COLORS[label % len(style.COLORS)],
            # Classes beyond the number of colours differ by their marker.
            marker=style.MARKERS[
                (label + label // len(style.COLORS)) % len(style.MARKERS)
            ],
            alpha=0.75,
            linewidths=0,
            label=name,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color="#BBBBBB")
    axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)
    handles: Any = legend.legend_handles
    for handle in handles:
        handle.set_sizes([20])
        handle.set_alpha(1)
    return figure


def project(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE of embeddings.

    Args:
      embeddings: `[m, C]`, m at least 4.
      seed: Seed of what scikit-learn draws.

    Returns:
      `[m, 2]`.

    Raises:
      Unavailable: for fewer.
      UserError: if scikit-learn is missing.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise UserError(
            'the embedding needs scikit-learn: pip install "qcs_jax[report]"'
        ) from error
    m = len(embeddings)
    if m < 4:
        raise Unavailable(f"an embedding of {m} images shows nothing: give 4 or more")
    tsne = TSNE(init="pca", perplexity=min(30, (m - 1) / 3), random_state=seed)
    return tsne.fit_transform(embeddings.astype(np.float64))

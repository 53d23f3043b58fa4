"""Numbers as charts: losses, confusion, class sizes, embedding (Figures 7 and 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.figures import Unavailable, style
from qcs_jax.system import extras


@style.styled()
def losses(log: Sequence[dict]) -> style.Figure:
    """Training losses of both branches, and test NLL and accuracy (Figure 7).

    Dots are the training losses that were logged, lines their means over an epoch.

    Args:
      log: Lines of `run_log.read_log`.

    Raises:
      Unavailable: if there is no log, or no epoch of it is finished.
    """
    trained, tested, held_out = (
        [line for line in log if line["kind"] == kind]
        for kind in ("train", "test", "held_out")
    )
    if not log:
        raise Unavailable("the run has no log: a converted checkpoint has none")
    if not trained or not tested:
        raise Unavailable(
            "the run's log has no training loss before an evaluation: it is shorter "
            "than train.log_every steps"
        )
    figure = style.Figure(figsize=(style.WIDTH, 2.3))
    training, nll, accuracy = figure.subplots(1, 3)
    _training_losses(training, trained, tested[-1]["step"] / tested[-1]["epoch"])
    training.set(ylabel="cross entropy (nats)", title="training loss")
    training.set_ylim(bottom=0)
    for i, (label, lines) in enumerate((("test", tested), ("held-out", held_out))):
        if lines:
            look = dict(color=style.COLORS[2 + i], marker=style.MARKERS[i], ms=2.5)
            look |= dict(linestyle=("-", "--")[i], lw=1.2, label=label)
            epoch = _column(lines, "epoch")
            nll.plot(epoch, _column(lines, "nll"), **look)
            accuracy.plot(epoch, 100 * _column(lines, "accuracy"), **look)
    nll.set(ylabel="NLL (nats)", title="base branch, NLL")
    accuracy.set(ylabel="accuracy (%)", title="base branch, accuracy")
    for axes in (training, nll, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#E5E5E5", lw=0.5)
        axes.set_axisbelow(True)
        axes.legend()
    return figure


def _training_losses(
    axes: style.Axes, trained: list[dict], steps_per_epoch: float
) -> None:
    epoch = _column(trained, "step") / steps_per_epoch
    # A step that ends an epoch belongs to it.
    number = np.ceil(epoch - 1e-9).astype(int)
    epochs = np.unique(number)
    for color, branch in zip(style.COLORS, ("base", "cross"), strict=False):
        if f"{branch}_loss" in trained[0]:
            values = _column(trained, f"{branch}_loss")
            axes.plot(epoch, values, ".", color=color, alpha=0.25, ms=3, mew=0)
            means = [values[number == e].mean() for e in epochs]
            label = f"{branch} branch"
            axes.plot(epochs - 0.5, means, color=color, lw=1.2, label=label)


def _column(lines: list[dict], key: str) -> np.ndarray:
    return np.array([line[key] for line in lines])


@style.styled()
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
        where: dict[str, Any] = dict(color=color, ha="center", va="center")
        axes.text(j, i - 0.12, f"{share[i, j]:.1f}", fontweight=bold, **where)
        axes.text(j, i + 0.22, f"{counts[i, j]:,}", fontsize=5.5, **where)
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


@style.styled()
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
    for axes, color, split in zip(panels, style.COLORS, labels, strict=False):
        found = labels[split]
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


@style.styled()
def embedding(
    points: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> style.Figure:
    """Embeddings of images in the plane, by class.

    Args:
      points: `[m, 2]`, as `project` gives them.
      labels: int `[m]`.
      class_names: k names.
    """
    figure = style.Figure(figsize=(5.2, 4.0))
    axes = figure.subplots()
    size = np.clip(6000 / max(len(points), 1), 5, 25)
    for label, name in enumerate(class_names):
        # Classes beyond the number of colours differ by their marker.
        turn, color = divmod(label, len(style.COLORS))
        x, y = points[labels == label].T
        axes.scatter(
            x,
            y,
            s=size,
            color=style.COLORS[color],
            marker=style.MARKERS[(label + turn) % len(style.MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=name,
        )
    axes.spines[:].set(visible=True, color="#BBBBBB")
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)
    handles: Any = legend.legend_handles
    for handle in handles:
        handle.set(sizes=[20], alpha=1)
    return figure


def project(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Projects embeddings to the plane, by t-SNE.

    Args:
      embeddings: `[m, C]`, m at least 4.
      seed: Seed of what scikit-learn draws.

    Returns:
      `[m, 2]`.

    Raises:
      Unavailable: for fewer than 4.
      UserError: if scikit-learn is missing.
    """
    with extras.named():
        from sklearn.manifold import TSNE
    m = len(embeddings)
    if m < 4:
        raise Unavailable(f"an embedding of {m} images shows nothing: give 4 or more")
    tsne = TSNE(init="pca", perplexity=min(30, (m - 1) / 3), random_state=seed)
    return tsne.fit_transform(embeddings.astype(np.float64))

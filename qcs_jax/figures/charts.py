"""Numbers as charts: Figures 7 and 12 of the paper, those of the page and of tables."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.evaluate.counts import BINS
from qcs_jax.figures import Unavailable, style
from qcs_jax.system import extras

with extras.named():
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Rectangle
    from sklearn.calibration import CalibrationDisplay


@style.styled()
def losses(log: Sequence[dict]) -> style.Figure:
    """Training losses of both branches, and test NLL and accuracy (Figure 7).

    Dots are the training losses in the log (of `runs.read_log`), lines their means
    over an epoch. Raises Unavailable if there is no log, or no epoch is finished.
    """
    if not log:
        raise Unavailable("the run has no log: a converted checkpoint has none")
    lines: Any = dict(tuple(pd.DataFrame(log).groupby("kind")))
    if not {"train", "test"} <= lines.keys():
        raise Unavailable(
            "the run's log has no training loss before an evaluation: it is shorter "
            "than train.log_every steps"
        )
    figure = style.Figure(figsize=(style.WIDTH, 2.3))
    training, nll, accuracy = figure.subplots(1, 3)
    trained, last = lines["train"], lines["test"].iloc[-1]
    epoch = trained["step"] / (last["step"] / last["epoch"])
    number = np.ceil(epoch - 1e-9)  # a step that ends an epoch belongs to it
    for color, branch in zip(style.COLORS, ("base", "cross"), strict=False):
        if (values := trained.get(f"{branch}_loss")) is not None:
            training.plot(epoch, values, ".", color=color, alpha=0.25, ms=3, mew=0)
            means = values.groupby(number).mean()
            label = f"{branch} branch"
            training.plot(means.index - 0.5, means, color=color, lw=1.2, label=label)
    training.set(ylabel="cross entropy (nats)", title="training loss", ylim=(0, None))
    for kind, i, line in (("test", 2, "o-"), ("held_out", 3, "s--")):
        if kind in lines:
            split, label = lines[kind], kind.replace("_", "-")
            look: Any = dict(color=style.COLORS[i], ms=2.5, lw=1.2, label=label)
            nll.plot(split["epoch"], split["nll"], line, **look)
            accuracy.plot(split["epoch"], 100 * split["accuracy"], line, **look)
    nll.set(ylabel="NLL (nats)", title="base branch, NLL")
    accuracy.set(ylabel="accuracy (%)", title="base branch, accuracy")
    for axes in (training, nll, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        axes.legend()
    return figure


@style.styled()
def confusion(counts: np.ndarray, class_names: Sequence[str]) -> style.Figure:
    """Counts, int `[k, k]`: classes (rows) by prediction, in per cent (Figure 12b)."""
    k, images = len(class_names), counts.sum()
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.62 * k + 1.9, 3.4), style.WIDTH)
    figure = style.Figure(figsize=(side, side - 0.7))
    axes = figure.subplots()
    below = [[f"{n:,}" for n in row] for row in counts]
    names = [style.wrapped(name, 20) for name in class_names]
    image = _percentages(axes, percent, below, names, names, 45, bold=np.eye(k))
    accuracy = 100 * np.trace(counts) / max(images, 1)
    title = f"accuracy {accuracy:.2f} % of {images:,} images"
    axes.set(xlabel="predicted", ylabel="actual", title=title)
    style.color_bar(figure, image, "% of the class", ax=axes, shrink=0.8)
    return figure


@style.styled()
def distribution(
    labels: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> style.Figure:
    """Images of each class in each split, by its labels, int `[m]` (Figure 12a)."""
    k = len(class_names)
    figure = style.Figure(figsize=(style.WIDTH, 0.26 * k + 0.8))
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for axes, color, split in zip(panels, style.COLORS, labels, strict=False):
        images = len(labels[split])
        counts = np.bincount(labels[split], minlength=k)
        bars = axes.barh(range(k), counts, color=color, height=0.7)
        shares = 100 * counts / max(images, 1)
        texts = [f" {n:,} ({x:.1f} %)" for n, x in zip(counts, shares, strict=True)]
        axes.bar_label(bars, texts, fontsize=6.5)
        axes.set_xlim(0, 1.38 * max(counts.max(), 1))  # room for the texts
        axes.set(title=f"{split}: {images:,} images", xlabel="images")
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(k), labels=[style.wrapped(x, 20) for x in class_names])
    panels[0].invert_yaxis()
    return figure


@style.styled()
def embedding(
    points: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> style.Figure:
    """Points in the plane, `[m, 2]`, by their labels, int `[m]`."""
    figure = style.Figure(figsize=(5.2, 4.0))
    axes = figure.subplots()
    size = np.clip(6000 / max(len(points), 1), 5, 25)
    looks = style.looks(len(class_names))
    for label, (name, look) in enumerate(zip(class_names, looks, strict=True)):
        x, y = points[labels == label].T
        axes.scatter(x, y, s=size, alpha=0.75, linewidths=0, label=name, **look)
    axes.spines[:].set(visible=True, color="#BBBBBB")
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)
    handles: Any = legend.legend_handles
    for handle in handles:
        handle.set(sizes=[20], alpha=1)
    return figure


@style.styled()
def reliability(confidence: np.ndarray, correct: np.ndarray) -> style.Figure:
    """How often answers are right, by their confidence, and how many there are.

    Takes the probability of each answer, float `[m]`, and whether it is right, bool.
    """
    figure = style.Figure(figsize=(style.WIDTH, 2.5))
    right, answers = figure.subplots(1, 2)
    confidence = np.clip(confidence, 0, 1)  # a float32 softmax may exceed 1
    CalibrationDisplay.from_predictions(
        correct, confidence, n_bins=BINS, ax=right, name="network", ms=4, lw=1.2
    )
    right.set(xlabel="mean confidence of a bin", ylabel="right")
    right.set(xlim=(0, 1), ylim=(0, 1.04))
    right.legend(loc="best")
    answers.hist(confidence, BINS, range=(0, 1), rwidth=0.9, color="#AAAAAA")
    answers.set(xlabel="confidence", ylabel="answers", xlim=(0, 1))
    return figure


@style.styled()
def robustness(accuracy: Mapping[str, Sequence[float]], clean: float) -> style.Figure:
    """Accuracy of each corruption against severity, which is 0 for the clean images."""
    columns = 5
    rows = -(-len(accuracy) // columns)
    figure = style.Figure(figsize=(style.WIDTH, 1.45 * rows + 0.2))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(accuracy) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels.flat, accuracy.items(), strict=False):
        severity = np.arange(len(values) + 1)
        axes.axhline(100 * clean, color="#BBBBBB", lw=0.8, ls="--")
        axes.plot(severity, 100 * np.array([clean, *values]), marker="o", ms=3, lw=1.2)
        axes.set(title=name, xticks=severity)
        axes.grid(axis="y")
    panels[0, 0].set_ylim(0, None)
    figure.supxlabel("severity (0: the images as they are)", fontsize=8)
    figure.supylabel("accuracy (%)", fontsize=8)
    return figure


@style.styled()
def groups(column: Mapping, accuracy: float) -> style.Figure:
    """A dot and an interval for every group; small groups are grey and hollow.

    Takes a column of `evaluate.groups.summary` that has groups, and the accuracy of all
    images, a dashed line.
    """
    rows = column["groups"]
    # Narrow, so that its text is read on a telephone, too.
    figure = style.Figure(figsize=(4.4, 0.3 * len(rows) + 0.55))
    axes = figure.subplots()
    axes.axvline(100 * accuracy, color="#BBBBBB", lw=0.8, ls="--")
    labels = []
    for y, group in enumerate(rows):
        small = group["small"]
        color = "#999999" if small else style.COLORS[0]
        ends = [100 * x for x in group["intervals"]["accuracy"]]
        axes.plot(ends, [y, y], color=color, lw=1 if small else 1.8)
        look: Any = dict(ms=5, color=color, mfc="white" if small else color)
        axes.plot(100 * group["accuracy"], y, "o", clip_on=False, **look)
        few = ", few" if small else ""
        labels.append(
            f"{style.wrapped(group['group'], 24)} ({group['examples']:,}{few})"
        )
    axes.set_yticks(range(len(rows)), labels=labels)
    axes.set(xlabel="accuracy (%)", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(right=min(100, axes.get_xlim()[1]))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


@style.styled()
def sweep(
    variants: Sequence[tuple[str, Any]],
    axis: str,
    chance: float | None = None,
    ticks: Sequence[str] | None = None,
) -> style.Figure:
    """Draws mean accuracies, with intervals over images (bands) and seeds (bars).

    In percent. Of each variant its label, and columns: its places `at` on the `axis`,
    of two or more; `accuracy` there; and the ends of its intervals, images_low,
    images_high, seeds_low and seeds_high (NaN for a single seed). `ticks` names the
    places 0, 1, ... where these are no numbers. `chance`, the accuracy of guessing, is
    a dashed line.
    """
    figure = style.Figure(figsize=(style.WIDTH, 3.2))
    axes = figure.subplots()
    places = [at for _, columns in variants for at in columns["at"]]
    reach = 0.004 * (max(places) - min(places))
    looks = style.looks(len(variants))
    for i, ((label, columns), look) in enumerate(zip(variants, looks, strict=True)):
        # Bars of several variants would cover each other.
        x = np.array(columns["at"]) + reach * (i - (len(variants) - 1) / 2)
        band = columns["images_low"], columns["images_high"]
        axes.fill_between(x, *band, color=look["color"], alpha=0.15, lw=0)
        axes.plot(x, columns["accuracy"], ms=4, label=label, **look)
        bars = columns["seeds_low"], columns["seeds_high"]
        axes.vlines(x, *bars, color=look["color"], lw=0.8)
    if chance is not None:
        axes.axhline(chance, color="#999999", lw=0.8, ls="--", label="chance")
    axes.set(xlabel=axis, ylabel="accuracy (%)", ylim=(0, 100))
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(axis="y")
    axes.legend()
    return figure


@style.styled()
def transfer(
    accuracy: np.ndarray,
    mean_class: np.ndarray,
    networks: Sequence[str],
    datasets: Sequence[str],
    own: Collection[tuple[int, int]] = (),
) -> style.Figure:
    """Accuracy of each network on each data set, with the mean over classes below it.

    Both float `[n, m]` between 0 and 1, NaN where nothing was measured. `own` has row
    and column of what is the network's own test; it gets a frame.
    """
    n, m = accuracy.shape
    figure = style.Figure(figsize=(min(1.15 * m + 3.0, style.WIDTH), 0.5 * n + 1.6))
    axes = figure.subplots()
    below = [[f"class mean {x:.1f}" for x in row] for row in 100 * mean_class]
    for i, j in own:
        look: Any = dict(fill=False, lw=1.5, edgecolor=style.COLORS[1])
        axes.add_patch(Rectangle((j - 0.48, i - 0.47), 0.96, 0.94, **look))
    rows, columns = (
        [textwrap.fill(name, 28) for name in names] for names in (networks, datasets)
    )
    image = _percentages(axes, 100 * accuracy, below, rows, columns, 30, aspect="auto")
    axes.set_facecolor("#EEEEEE")  # of what was not measured
    title = "accuracy, and its mean over classes, in %"
    title += "; framed: its own test" if own else ""
    axes.set(xlabel="tested on", ylabel="network", title=title)
    style.color_bar(figure, image, "accuracy (%)", ax=axes, shrink=0.9)
    return figure


def _percentages(
    axes: Axes,
    percent: np.ndarray,
    below: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    rotation: int,
    bold: np.ndarray | None = None,
    **options: Any,
) -> ScalarMappable:
    """A matrix of percentages, NaN as "–", each with a small text below it."""
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, **options)
    for (i, j), share in np.ndenumerate(percent):
        color = "white" if share > 55 else "black"
        look: Any = dict(ha="center", va="center", color=color)
        if np.isnan(share):
            axes.text(j, i, "–", **look)
            continue
        weight = "bold" if bold is not None and bold[i, j] else "normal"
        axes.text(j, i - 0.12, f"{share:.1f}", fontweight=weight, **look)
        axes.text(j, i + 0.22, below[i][j], fontsize=5.5, **look)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    slanted: Any = dict(rotation=rotation, ha="right", rotation_mode="anchor")
    axes.set_xticks(range(len(columns)), labels=columns, **slanted)
    axes.set_yticks(range(len(rows)), labels=rows)
    return image

"""Every figure draws, for any number of classes and any names, without warnings."""

import itertools
import types

import matplotlib as mpl
import numpy as np
import pytest
import small
from matplotlib.backends.backend_agg import FigureCanvasAgg

from qcs_jax.evaluate.counts import UNIT, Counts, probabilities
from qcs_jax.figures import Unavailable, charts, maps, paper, style
from qcs_jax.predict.interaction import Comparison, on_image

NAMES = (
    *("neutral", "happiness and exuberance", "sad", "Überraschung"),
    *("anticipatory_disgust", "supercalifragilisticexpialidocious"),
    *(r"$\nope & <contempt>$", "8", "nine", "ten"),
)


def faces(*shape, side=16):
    return small.pixels(*shape, side, side, 3)


def attention(k, n):
    weights = [probabilities(small.images(k, n, seed=i)) for i in range(3)]
    return maps.attention(faces(k), weights, NAMES[:k])


def negatives(k, n):
    weights = probabilities(small.images(2, k - 1, n))
    return maps.negatives(faces(2), faces(k - 1), weights, NAMES[0], NAMES[1:k])


OF_FACES = {
    "heatmaps": lambda k, n: maps.heatmaps(
        faces(k), faces(k), 1 + small.images(k, k, n), NAMES[:k]
    ),
    "attention": attention,
    "negatives": negatives,
}
FIGURES = OF_FACES | {
    "matrices": lambda k, n: maps.matrices(
        *(faces(), faces(2), Comparison.of(*small.images(2, 2, n, 5))),
        *(["different class"] * 2, [NAMES[1], NAMES[0], NAMES[k - 1]]),
    ),
    "confusion": lambda k, n: charts.confusion(
        9999 * np.outer(np.arange(k), np.ones(k, int)), NAMES[:k]
    ),
    "distribution": lambda k, n: charts.distribution(
        {"train": np.arange(5000 * k) % k, "test": np.arange(2)}, NAMES[:k]
    ),
    "embedding": lambda k, n: charts.embedding(
        small.images(3 * k, 2), np.arange(3 * k) % k, NAMES[:k]
    ),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("k,n", [(2, 1), (10, 9)])
def test_figures_are_as_wide_as_a_page_and_their_labels_apart(name, k, n):
    figure = FIGURES[name](k, n)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # everything has its place now
    extent = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert width <= 1.01 * style.WIDTH
    assert extent.x0 > -0.02 and extent.x1 < width + 0.02
    assert extent.y0 > -0.02 and extent.y1 < height + 0.02
    if name not in OF_FACES:
        return
    boxes = [
        # Extents contain a little space around the letters.
        (text.get_text(), text.get_window_extent().shrunk(0.9, 0.9))
        for text in figure.findobj(mpl.text.Text)
        if text.get_text().strip() and text.get_visible()
    ]
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), f"{a!r} is over {b!r}"


def log(*branches, splits=("test",)):
    """Three epochs of four steps, with a loss of 2 / step of each branch."""
    lines = []
    for step in range(1, 13):
        losses = {f"{branch}_loss": 2 / step for branch in branches}
        lines.append({"step": step, "kind": "train", **losses})
        if step % 4 == 0:
            scores = {"epoch": step // 4, "nll": 1.0, "accuracy": step / 12}
            lines += [{"step": step, "kind": split, **scores} for split in splits]
    return lines


@pytest.mark.parametrize("count", [1, 2])
def test_losses_show_what_was_logged(count):
    branches, splits = ("base", "cross")[:count], ("test", "held_out")[:count]
    figure = charts.losses(log(*branches, splits=splits))
    lines = [f"{branch} branch" for branch in branches]
    kinds = [split.replace("_", "-") for split in splits]
    for axes, shown in zip(figure.axes, (lines, kinds, kinds), strict=True):
        assert [text.get_text() for text in axes.get_legend().texts] == shown
    points, mean = figure.axes[0].lines[:2]
    np.testing.assert_allclose(points.get_xdata(), np.arange(1, 13) / 4)
    np.testing.assert_allclose(mean.get_xdata(), [0.5, 1.5, 2.5])
    np.testing.assert_allclose(mean.get_ydata()[0], np.mean([2, 1, 2 / 3, 1 / 2]))
    accuracy = figure.axes[2].lines[0]
    np.testing.assert_allclose(accuracy.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(accuracy.get_ydata(), [100 / 3, 200 / 3, 100])


def test_figures_need_enough_data():
    for lines in [], log("base")[:3]:
        with pytest.raises(Unavailable, match="has no log|no training loss before"):
            charts.losses(lines)
    gallery = types.SimpleNamespace(labels=np.arange(3))
    few = types.SimpleNamespace(gallery=gallery, outputs=small.images(2, 3, 4), seed=0)
    with pytest.raises(Unavailable, match="embedding of 3 images"):
        paper.DRAW["embedding"](few)


def test_maps_are_over_their_faces_and_share_a_scale():
    anchors, importance = faces(2), np.arange(16.0).reshape(2, 2, 4)
    figure = maps.heatmaps(anchors, faces(2), importance, NAMES[:2])
    axes = np.array(figure.axes[:9], object).reshape(3, 3)
    grey = [face @ np.array([0.299, 0.587, 0.114]) for face in anchors]
    for row, column in np.ndindex(2, 2):
        face, overlay = axes[row + 1, column + 1].images
        np.testing.assert_array_equal(face.get_array(), grey[column])
        shown = on_image(importance[row, column], 16)
        np.testing.assert_array_equal(overlay.get_array(), shown)
        assert overlay.get_clim() == axes[1, 1].images[1].get_clim()


def test_reliability_is_of_the_bins_of_the_calibration_error():
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(500, 3)), rng.integers(0, 3, 500)
    confidence = probabilities(logits).max(axis=1)
    correct = logits.argmax(axis=1) == labels
    right, answers = charts.reliability(confidence, correct).axes
    [line] = [line for line in right.lines if line.get_marker() == "s"]
    images, total, hits = (Counts.of(logits, labels).bins).T
    some = images > 0
    np.testing.assert_allclose(line.get_xdata(), total[some] * UNIT / images[some])
    np.testing.assert_allclose(line.get_ydata(), hits[some] / images[some])
    assert [bar.get_height() for bar in answers.patches] == images.tolist()
    charts.reliability(np.float32([1.0000001, 0.5]), np.array([True, True]))


def test_matrices_are_in_per_cent():
    figure = charts.confusion(np.array([[3, 1], [1_000, 3_000]]), ("a", "b"))
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[75, 25], [25, 75]])
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["75.0", "3", "25.0", "1", "25.0", "1,000", "75.0", "3,000"]
    assert "75.00 % of 4,004" in axes.get_title()
    accuracy = np.array([[0.9, np.nan]])
    figure = charts.transfer(accuracy, accuracy - 0.1, ["n"], ["c", "d"], [(0, 0)])
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == ["90.0", "class mean 80.0", "–"]


def test_the_curve_of_a_sweep():
    two = {"at": [0.1, 0.2], "accuracy": [50, 60], "seeds_low": [np.nan, 30]}
    two |= {"images_low": [40, 50], "images_high": [60, 70], "seeds_high": [np.nan, 80]}
    one = {name: values[:1] for name, values in two.items()}
    axes = charts.sweep([("a", two), ("b", one)], "x", 20, ["p", "q"]).axes[0]
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels == ["a", "b", "chance"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [50, 60])
    [bar] = [x for x in axes.collections[1].get_segments() if len(x)]
    np.testing.assert_allclose(bar[:, 1], [30, 80])


def test_files_are_the_same_whenever_and_whoever_draws(tmp_path, monkeypatch):
    assert style.DPI >= 200
    monkeypatch.setattr(style, "DPI", 40)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")  # what Matplotlib takes for now
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        files = style.save(attention(3, 4), tmp_path, "theirs")
        assert dict(mpl.rcParams) == before
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2")
    others = style.save(attention(3, 4), tmp_path, "ours")
    assert [x.read_bytes() for x in files] == [x.read_bytes() for x in others]
    assert [file.suffix for file in files] == [".png", ".pdf"]

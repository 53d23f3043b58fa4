"""Every figure draws, for any number of classes and any names, without warnings."""

import importlib
import itertools
import sys

import matplotlib as mpl
import numpy as np
import pytest
import small
from matplotlib.backends.backend_agg import FigureCanvasAgg

from qcs_jax.figures import Unavailable, charts, maps, style
from qcs_jax.predict.interaction import Comparison
from qcs_jax.system.errors import UserError

NAMES = (
    "neutral",
    "happiness and exuberance",
    "sad",
    "Überraschung",
    "anticipatory_disgust",
    "supercalifragilisticexpialidocious",
    r"$\nope & <contempt>$",
    "8",
    "nine",
    "ten",
)


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def faces(*shape, side=16):
    return small.pixels(*shape, side, side, 3)


def heatmaps(k, n):
    return maps.heatmaps(faces(k), faces(k), 1 + small.images(k, k, n), NAMES[:k])


def attention(k, n):
    weights = [softmax(small.images(k, n, seed=i)) for i in range(3)]
    return maps.attention(faces(k), weights, NAMES[:k])


def negatives(k, n):
    weights = softmax(small.images(2, k - 1, n))
    return maps.negatives(faces(2), faces(k - 1), weights, NAMES[0], NAMES[1:k])


def interaction_matrices(k, n):
    compared = Comparison.of(*small.images(2, k, n, 5))
    return maps.matrices(
        faces(), faces(k), compared, ["different class"] * k, [NAMES[1], *NAMES[:k]]
    )


def confusion(k, n):
    counts = np.random.default_rng(n).integers(0, 20_000, (k, k))
    counts[0] = 0  # a class without images
    return charts.confusion(counts, NAMES[:k])


def distribution(k, n):
    labels = np.random.default_rng(n).integers(0, k, 5000 * k)
    return charts.distribution({"train": labels, "test": labels[:3]}, NAMES[:k])


def embedding(k, n):
    labels = np.arange(3 * k) % k
    return charts.embedding(small.images(3 * k, 2), labels, NAMES[:k])


def curves(*, cross=True, held_out=True):
    lines = []
    for step in range(1, 13):
        terms = {"base_loss": 2 / step, "cross_loss": 1 / step}
        if not cross:
            del terms["cross_loss"]
        lines.append({"step": step, "kind": "train", **terms})
        for kind in ("test", "held_out") if held_out else ("test",):
            if step % 4 == 0:
                scores = {"epoch": step // 4, "nll": 1.0, "accuracy": step / 12}
                lines.append({"step": step, "kind": kind, **scores})
    return lines


FIGURES = (heatmaps, attention, negatives, interaction_matrices)
FIGURES += (confusion, distribution, embedding)


def texts(figure):
    """Texts with their boxes in pixels, once everything has its place."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [t for t in figure.findobj(mpl.text.Text) if t.get_text().strip()]
    found = [t for t in found if t.get_visible()]
    return [(t, t.get_window_extent(canvas.get_renderer())) for t in found]


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("k,n", [(2, 1), (8, 49), (10, 9)])
def test_every_figure_draws(draw, k, n):
    figure = draw(k, n)
    texts(figure)
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert width <= 1.01 * style.WIDTH
    assert drawn.x0 > -0.02 and drawn.x1 < width + 0.02
    assert drawn.y0 > -0.02 and drawn.y1 < height + 0.02


@pytest.mark.parametrize("draw", FIGURES[:3], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("k", [2, 7])
def test_labels_of_neighbours_do_not_overlap(draw, k):
    found = texts(draw(k, 9))
    for (a, first), (b, second) in itertools.combinations(found, 2):
        # Extents contain a little space around the letters.
        apart = not first.shrunk(0.9, 0.9).overlaps(second.shrunk(0.9, 0.9))
        assert apart, f"{a.get_text()!r} is over {b.get_text()!r}"


@pytest.mark.parametrize("cross,held_out", [(True, True), (False, False)])
def test_losses_show_what_was_logged(cross, held_out):
    figure = charts.losses(curves(cross=cross, held_out=held_out))
    texts(figure)
    branches = ["base branch", "cross branch"] if cross else ["base branch"]
    splits = ["test", "held-out"] if held_out else ["test"]
    for axes, shown in zip(figure.axes, (branches, splits, splits), strict=True):
        assert [text.get_text() for text in axes.get_legend().texts] == shown
    points, mean = figure.axes[0].lines[:2]
    np.testing.assert_allclose(points.get_xdata(), np.arange(1, 13) / 4)
    np.testing.assert_allclose(points.get_ydata(), 2 / np.arange(1, 13))
    accuracy = figure.axes[2].lines[0]
    np.testing.assert_allclose(accuracy.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(accuracy.get_ydata(), [100 / 3, 200 / 3, 100])
    np.testing.assert_allclose(mean.get_xdata(), [0.5, 1.5, 2.5])
    of_first_epoch = np.mean([2, 1, 2 / 3, 1 / 2])
    np.testing.assert_allclose(mean.get_ydata()[0], of_first_epoch)


@pytest.mark.parametrize("lines", [[], curves()[:3]])
def test_losses_need_a_finished_epoch(lines):
    with pytest.raises(Unavailable, match="the run has no log|no training loss before"):
        charts.losses(lines)


def test_maps_of_one_figure_share_a_scale():
    figure = heatmaps(3, 9)
    overlays = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert len(overlays) == 9
    assert len({id(overlay.norm) for overlay in overlays}) == 1


def test_confusion_is_in_per_cent_of_the_rows():
    figure = charts.confusion(np.array([[3, 1], [1_000, 3_000]]), ("a", "b"))
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == ["75.0", "3", "25.0", "1", "25.0", "1,000", "75.0", "3,000"]
    assert "75.00 % of 4,004" in figure.axes[0].get_title()


def test_files_are_the_same_every_time(tmp_path, monkeypatch):
    files = []
    for second in ("1", "2"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", second)  # what Matplotlib takes for now
        files.append(style.save(attention(3, 4), tmp_path / second, "a"))
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert style.DPI >= 200
    assert [file.suffix for file in files[0]] == [".png", ".pdf"]


def test_settings_of_the_user_are_left_alone(tmp_path):
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        style.save(confusion(3, 1), tmp_path, "theirs")
        assert dict(mpl.rcParams) == before
    style.save(confusion(3, 1), tmp_path, "ours")
    theirs, ours = (tmp_path / f"{x}.png" for x in ("theirs", "ours"))
    assert theirs.read_bytes() == ours.read_bytes()


@pytest.mark.parametrize("count", [4, 5, 40])
def test_small_sets_can_be_embedded(count):
    points = charts.project(small.images(count, 16))
    assert points.shape == (count, 2) and np.isfinite(points).all()
    np.testing.assert_array_equal(points, charts.project(small.images(count, 16)))


def test_three_images_are_no_embedding():
    with pytest.raises(Unavailable, match="embedding of 3 images"):
        charts.project(small.images(3, 16))


def test_missing_packages_are_named_with_the_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(UserError, match=r"sklearn: pip install .*\[report\]"):
        charts.project(small.images(8, 16))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "qcs_jax.figures.style")
    with pytest.raises(UserError, match=r"matplotlib: pip install .*\[report\]"):
        importlib.import_module("qcs_jax.figures.style")

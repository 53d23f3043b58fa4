"""One look for all figures, and how they are saved.

Figures are made without pyplot, and matplotlib's global settings stay as they are.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import textwrap
from collections.abc import Iterator
from typing import Any

from qcs_jax.system import extras

with extras.named():
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: the text of a page in two columns
DPI = 300

# Okabe and Ito: told apart with any kind of colour vision; the yellow comes last
# because it is faint on white.
COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#56B4E9", "#E69F00", "#000000", "#F0E442"),
)
MARKERS = "osD^vPX*"

_RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 8,
    "text.parse_math": False,  # a class may be called $x$
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,  # text stays text in editors
    "svg.hashsalt": "qcs_jax",  # the same bytes always
}

# What else would say when, or by which version, a file was written.
_UNDATED: Any = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draws in this style alone: the user's own matplotlibrc changes nothing.

    Decorates a function, or surrounds a block.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def save(
    figure: Figure, folder: str | pathlib.Path, name: str
) -> tuple[pathlib.Path, ...]:
    """Writes and returns `folder/name.png` (300 dpi) and `folder/name.pdf`.

    The same figure gives the same bytes always.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(folder / f"{name}.{kind}" for kind in ("png", "pdf"))
    for file in files:
        file.write_bytes(encoded(figure, file.suffix[1:], DPI))
        figure.set_layout_engine("none")  # everything has its place now
    return files


def encoded(figure: Figure, kind: str, dpi: int) -> bytes:
    """Returns the figure as a file of that kind, "png", "pdf" or "svg"."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return buffer.getvalue()


def color_bar(
    figure: Figure, mappable: ScalarMappable, label: str, **options: Any
) -> Colorbar:
    """Draws a colour bar without a frame; for options see `Figure.colorbar`."""
    bar = figure.colorbar(mappable, label=label, **options)
    bar.outline.set_visible(False)
    return bar


def looks(count: int) -> list[dict[str, Any]]:
    """Returns a colour and a marker for each of several classes or variants.

    Those beyond the number of colours differ by their marker.
    """
    k = len(COLORS)
    return [
        dict(color=COLORS[i % k], marker=MARKERS[(i + i // k) % len(MARKERS)])
        for i in range(count)
    ]


def wrapped(name: str, width: int = 16) -> str:
    """Returns a class name in lines of at most `width` characters."""
    return textwrap.fill(name.replace("_", " "), width) or name

"""A comparison as tables of a LaTeX document; they need its package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from qcs_jax.evaluate.counts import LEVEL
from qcs_jax.evaluate.lines import Line
from qcs_jax.evaluate.paired import Interval
from qcs_jax.evaluate.run_log import LAST
from qcs_jax.evaluate.significance import SIGNIFICANT

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_ABOUT = (
    "Accuracy after the last epoch in percent, mean and sample standard deviation over "
    "seeds; of the checkpoints that were evaluated, intervals at "
    rf"{100 * LEVEL:.0f}\,\%."
)
_ABOUT_STARS = (
    f" Of differences, $^*$ over images and $^\\dagger$ over seeds: $p < "
    f"{SIGNIFICANT}$ after Holm's correction."
)


def latex(lines: Sequence[Line]) -> str:
    """Returns a `table` for every data set and setting that has a finished run."""
    finished = [line for line in lines if line.accuracy]
    groups = groupby(finished, key=lambda line: line.heading)
    tables = [_table(heading, list(members)) for heading, members in groups]
    return "\n".join(["% \\usepackage{booktabs}", *tables])


def _table(heading: str, lines: list[Line]) -> str:
    against = {line.versus.label for line in lines if line.versus}
    header = ["", "accuracy", "over images", "over seeds"]
    header += [f"minus {escaped(label)}" for label in against]  # one at most
    rows = [" & ".join(header)]
    rows += [" & ".join(_cells(line, bool(against))) for line in lines]
    first, *others = (f"{row} \\\\" for row in rows)
    about = _ABOUT + _ABOUT_STARS * bool(against)
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escaped(heading)}. {about}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"    \toprule",
            f"    {first}",
            r"    \midrule",
            *(f"    {row}" for row in others),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cells(line: Line, compared: bool) -> list[str]:
    found = line.accuracy[LAST]
    spread = "" if found.std is None else rf" \pm {found.std:.2f}"
    cells = [escaped(line.label), f"${found.mean:.2f}{spread}$", "--", "--"]
    if evidence := line.evidence:
        ends = evidence.accuracy.images, evidence.accuracy.seeds
        cells[2:] = map(_interval, ends)
    if compared:
        cells.append("--")
    if versus := line.versus:
        stars = r"{}^*" * (versus.p_images < SIGNIFICANT)
        if versus.p_seeds is not None and versus.p_seeds < SIGNIFICANT:
            stars += r"{}^\dagger"
        cells[-1] = f"${100 * versus.difference.mean:+.2f}{stars}$"
    return cells


def escaped(text: str) -> str:
    """Returns text that LaTeX sets as it is."""
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _SPECIAL[match[0]], text)


def _interval(ends: Interval | None) -> str:
    return "--" if ends is None else f"${100 * ends[0]:.2f}$--${100 * ends[1]:.2f}$"

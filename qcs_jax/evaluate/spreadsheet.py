"""A comparison as CSV, for programs: percent everywhere, p-values as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from qcs_jax.evaluate.lines import Line
from qcs_jax.evaluate.paired import Interval
from qcs_jax.evaluate.run_log import BEST_ON_TEST


def of_numbers(lines: Sequence[Line]) -> str:
    """Returns a row for each variant and number."""
    header = ["dataset", "setting", "variant", "number", "n", "mean", "std", "max"]
    rows = [header + ["mean_class_accuracy", "seeds", "paper", "paper_table"]]
    for line in lines:
        for name, found in line.accuracy.items():
            paper = ["", ""]
            if line.paper and name == BEST_ON_TEST:
                percent = line.paper.percent[line.dataset]
                paper = [f"{percent:.2f}", str(line.paper.table)]
            rows.append(
                [line.dataset, line.setting, line.label, name, str(found.n)]
                + [f"{found.mean:.2f}", found.spread, f"{found.max:.2f}"]
                + [f"{line.mean_class_accuracy[name].mean:.2f}"]
                + [" ".join(map(str, line.seeds)), *paper]
            )
    return _text(rows)


def of_evidence(lines: Sequence[Line]) -> str:
    """Returns a row for each variant that was evaluated: intervals and differences."""
    rows = [
        ["dataset", "setting", "variant", "seeds", "accuracy"]
        + ["images_low", "images_high", "seeds_low", "seeds_high"]
        + ["against", "common_seeds", "difference"]
        + ["difference_images_low", "difference_images_high"]
        + ["difference_seeds_low", "difference_seeds_high"]
        + ["p_images", "p_images_corrected", "p_seeds", "p_seeds_corrected"]
    ]
    for line in lines:
        if not (found := line.evidence):
            continue
        row = [line.dataset, line.setting, line.label, " ".join(map(str, found.seeds))]
        row += [f"{100 * found.accuracy.mean:.3f}"]
        row += [*_ends(found.accuracy.images), *_ends(found.accuracy.seeds)]
        if versus := line.versus:
            x = versus.difference
            row += [versus.label, " ".join(map(str, versus.seeds))]
            row += [f"{100 * x.mean:.3f}", *_ends(x.images), *_ends(x.seeds)]
            row += [_p(x.p_images), _p(versus.p_images)]
            row += [_p(x.p_seeds), _p(versus.p_seeds)]
        rows.append(row + [""] * (len(rows[0]) - len(row)))
    return _text(rows)


def _ends(interval: Interval | None) -> list[str]:
    return ["", ""] if interval is None else [f"{100 * end:.3f}" for end in interval]


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.6g}"


def _text(rows: Iterable[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()

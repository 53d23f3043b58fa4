"""Shows a comparison of variants over seeds, and writes it for people and programs."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from qcs_jax.evaluate import evidence, published
from qcs_jax.evaluate.runs import BEST_ON_TEST, LAST, METRIC, NUMBERS, Variant
from qcs_jax.evaluate.uncertainty import LEVEL, SIGNIFICANT
from qcs_jax.system import files

COLUMNS = [
    *("dataset", "setting", "variant", "number", "n", "mean", "std", "max"),
    *("mean_class_accuracy", "seeds", "paper", "paper_table"),
]
_LATEX = str.maketrans(
    {x: f"\\{x}" for x in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
_ABOUT = (
    "Test accuracy in percent: mean ± sample standard deviation over seeds (number of "
    "runs), and the best run."
)
_ABOUT_PAPER = (
    "The paper reports the best epoch on the test split of the best of five runs: "
    f'compare it with the best run of "{BEST_ON_TEST}".'
)
_ABOUT_EVIDENCE = (
    f"Second table: the checkpoints that were evaluated, intervals at {LEVEL:.0%}. "
    "Over images: these networks on other test images (bootstrap). Over seeds: other "
    "trainings on these test images (Student's t)."
)
_ABOUT_P = (
    "p: how likely so large a difference is between equally good variants, over images "
    "(exact sign flips; of one seed McNemar's test) and over seeds (paired t test), "
    "corrected for {count} by Holm's method."
)
_CAPTION = (
    "Accuracy after the last epoch in percent, mean and sample standard deviation over "
    "seeds; of the checkpoints that were evaluated, intervals at "
    rf"{100 * LEVEL:.0f}\,\%."
)
_CAPTION_STARS = (
    f" Of differences, $^*$ over images and $^\\dagger$ over seeds: $p < "
    f"{SIGNIFICANT}$ after Holm's correction."
)


def show(
    variants: Sequence[Variant],
    out: pathlib.Path | None,
    table: int | None = None,
    against: str | None = None,
) -> pd.DataFrame:
    """Prints the comparison of variants, in their order, and writes it into `out`.

    Those of one data set and setting follow each other. `table` is that of the paper to
    look for its numbers, see `published.find`; `against` the label of the variant that
    the others are compared with. Returns what `evidence.gather` does, and `chance`, the
    accuracy of guessing in percent.
    """
    certain, uncompared = evidence.gather(variants, against)
    numbers = over_seeds(variants, table)
    notes = [note for variant in variants for note in variant.notes()]
    text = markdown(numbers, certain, notes + uncompared)
    print(text, end="")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        of_evaluated = certain[certain["accuracy"].notna()]
        p = of_evaluated.filter(regex="^p_").columns
        texts = of_evaluated[p].map("{:.6g}".format, na_action="ignore")
        contents = {
            "comparison.md": f"# Comparison\n\n{text}",
            "comparison.tex": latex(numbers, certain),
            "comparison.csv": _csv(numbers[COLUMNS], "%.2f"),
            "evidence.csv": _csv(of_evaluated.assign(**texts), "%.3f"),
        }
        for name, content in contents.items():
            files.write_text(out / name, content)
        first, *others = contents
        print(f"\nwrote {out / first}, {', '.join(others)}")
    return certain.assign(chance=numbers["chance"].groupby(level=0).first())


def over_seeds(variants: Sequence[Variant], table: int | None = None) -> pd.DataFrame:
    """Returns mean, spread and best of the accuracies of finished runs, in percent.

    A row of `COLUMNS` for each variant with a finished run and number, by the variant's
    position; `most_frequent` and `chance` come along, the accuracies of always giving
    the most frequent class and a random one.
    """
    rows, positions = [], []
    for position, variant in enumerate(variants):
        runs = variant.counted.values()
        # Under one path, runs may have started from different weights.
        papers = [published.find(x.config, table, x.started_from) for x in runs]
        paper = papers[0] if papers and len(set(map(id, papers))) == 1 else None
        numbers = [run.scores for run in runs]
        for number in NUMBERS:
            scores = pd.DataFrame([x[number] for x in numbers if number in x])
            if scores.empty:
                continue
            row = {
                "dataset": variant.dataset,
                "setting": variant.setting,
                "variant": variant.label,
                "number": number,
                "n": len(scores),
                **(100 * scores[METRIC]).agg(["mean", "std", "max"]),
                "mean_class_accuracy": 100 * scores["mean_class_accuracy"].mean(),
                "seeds": " ".join(map(str, variant.counted)),
            }
            for name in {"most_frequent", "chance"} & numbers[0][LAST].keys():
                row[name] = 100 * numbers[0][LAST][name]  # not of an earlier version
            if paper and number == BEST_ON_TEST:
                row["paper"] = paper.percent[variant.dataset]
                row["paper_table"] = str(paper.table)
            rows.append(row)
            positions.append(position)
    return pd.DataFrame(rows, positions, [*COLUMNS, "most_frequent", "chance"])


def markdown(numbers: pd.DataFrame, certain: pd.DataFrame, notes: list[str]) -> str:
    """Returns tables for every data set and setting, and what to know about them."""
    parts = []
    for heading, rows in _by_heading(numbers):
        parts.append(f"## {heading}\n\n{_number_table(rows)}")
        members = certain.loc[rows.index.unique()]
        if members["accuracy"].notna().any():
            parts.append(_evidence_table(members))
        blind = "Always the most frequent class: {:.2f}. Chance: {:.2f}."
        texts = _texts(blind, rows["most_frequent"], rows["chance"])
        parts += sorted({*texts} - {"-"})
    parts.append(_ABOUT if parts else "No run is finished.")
    if certain["accuracy"].notna().any():
        parts.append(_ABOUT_EVIDENCE)
    if count := certain["difference"].count():
        comparisons = f"{count} comparison{'s' * int(count > 1)}"
        parts.append(_ABOUT_P.format(count=comparisons))
    if numbers["paper"].notna().any():
        parts.append(_ABOUT_PAPER)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def latex(numbers: pd.DataFrame, certain: pd.DataFrame) -> str:
    """Returns a `table` for every data set and setting that has a finished run."""
    parts = ["% \\usepackage{booktabs}"]
    for heading, rows in _by_heading(numbers[numbers["number"] == LAST]):
        x = certain.loc[rows.index]
        interval = "${:.2f}$--${:.2f}$"
        means = _texts(r"${:.2f} \pm {:.2f}$", rows["mean"], rows["std"])
        columns = {
            "": [label.translate(_LATEX) for label in rows["variant"]],
            "accuracy": [text.replace(r" \pm -", "") for text in means],
            "over images": _texts(interval, x["images_low"], x["images_high"]),
            "over seeds": _texts(interval, x["seeds_low"], x["seeds_high"]),
        }
        caption = f"{heading.translate(_LATEX)}. {_CAPTION}"
        for label in x["against"].dropna().unique():  # one at most
            marks = [
                (x[f"p_{kind}_corrected"] < SIGNIFICANT).map({True: mark, False: ""})
                for kind, mark in (("images", "{}^*"), ("seeds", r"{}^\dagger"))
            ]
            minus = _texts("${:+.2f}{}{}$", x["difference"], *marks)
            columns[f"minus {label.translate(_LATEX)}"] = minus
            caption += _CAPTION_STARS
        frame = pd.DataFrame(columns).replace("-", "--")
        text = frame.style.hide(axis="index").to_latex(
            hrules=True,
            position_float="centering",
            column_format="l" + "r" * (len(columns) - 1),
            caption=caption,
        )
        parts.append(text)
    return "\n".join(parts)


def _by_heading(numbers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for key, rows in numbers.groupby(["dataset", "setting"], sort=False):
        yield ", ".join(filter(None, key)), rows


def _number_table(rows: pd.DataFrame) -> str:
    last = rows[rows["number"] == LAST]
    columns = [["variant", *last["variant"]]]
    for number in NUMBERS:
        x = rows[rows["number"] == number].reindex(last.index)
        if x["n"].isna().all():
            continue
        means = _texts("{:.2f} ± {:.2f} ({:.0f})", x["mean"], x["std"], x["n"])
        columns += [[number, *means], ["best run", *_texts("{:.2f}", x["max"])]]
        if number == LAST:
            of_classes = _texts("{:.2f}", x["mean_class_accuracy"])
            columns.append(["mean class", *of_classes])
        if x["paper"].notna().any():
            papers = _texts("{:.2f} (Table {})", x["paper"], x["paper_table"])
            columns.append(["paper", *papers])
    return aligned(columns)


def _evidence_table(x: pd.DataFrame) -> str:
    interval, difference = "{:.2f} to {:.2f}", "{:+.2f} to {:+.2f}"
    seeds = x["seeds"].str.split().str.len()
    columns = [
        ["evaluated", *x["variant"]],
        ["accuracy", *_texts("{:.2f} ({:.0f})", x["accuracy"], seeds)],
        ["over images", *_texts(interval, x["images_low"], x["images_high"])],
        ["over seeds", *_texts(interval, x["seeds_low"], x["seeds_high"])],
    ]
    for label in x["against"].dropna().unique():  # one at most
        columns.append([f"minus {label}", *_texts("{:+.2f}", x["difference"])])
        for kind in ("images", "seeds"):
            ends = (x[f"difference_{kind}_{end}"] for end in ("low", "high"))
            columns.append([f"over {kind}", *_texts(difference, *ends)])
            p = x[f"p_{kind}_corrected"].map(_p_value, na_action="ignore")
            columns.append(["p", *_texts("{}", p)])
    return aligned(columns)


def aligned(columns: Iterable[Sequence[str]], *, names: int = 1) -> str:
    """Returns a table in Markdown whose source lines up in a terminal.

    Of columns of texts, the first of each its title. So many `names` at the left are
    aligned left, the other columns right.
    """
    padded = []
    for i, (title, *texts) in enumerate(columns):
        # A rule of Markdown has a hyphen and a colon at least.
        width = max(2, len(title), *map(len, texts))
        rule = "-" * width if i < names else "-" * (width - 1) + ":"
        align = str.ljust if i < names else str.rjust
        padded.append([align(text, width) for text in (title, rule, *texts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*padded, strict=True))


def _texts(template: str, *columns: pd.Series) -> list[str]:
    """Fills a template in each row; "-" stands for NaN, alone where that is first."""
    return [
        "-" if pd.isna(values[0]) else template.format(*values).replace("nan", "-")
        for values in zip(*columns, strict=True)
    ]


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _csv(frame: pd.DataFrame, form: str) -> str:
    return frame.to_csv(index=False, float_format=form, lineterminator="\n")

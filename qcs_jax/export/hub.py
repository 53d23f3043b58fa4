"""A folder for the Hugging Face Hub: `hf upload OWNER/NAME FOLDER`.

`qcs_jax.load("hf:OWNER/NAME")` loads what was uploaded, see `checkpoint.weights`. Its
model card is `card.md`, filled in: it says what the run itself measured; what only
people know, such as the licence that the images allow, it leaves to them in so many
words.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from qcs_jax import models
from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate import groups
from qcs_jax.export import onnx, safetensors
from qcs_jax.export.served import Served, largest_difference
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json, write_text

load = safetensors.load

_TEMPLATE = pathlib.Path(__file__).with_name("card.md")

_DRAWN = "**Trained on drawn faces**: what it says about photographs means nothing."
_LIMITS = """\
**Not for** judging people: hiring, grading, policing, the diagnosis of anything, or any
decision about somebody. It names the expression that most annotators would see. That is
no proof of a feeling: people smile without joy and are angry without a frown. It sees a
face alone, without situation, voice or time, and has to choose one of its classes even
where none fits, or where there is no face at all."""


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes weights, ONNX, `config.json`, labels, and the model card `README.md`."""
    trained = served.trained
    text = model_card(trained, served.name)  # before the work
    safetensors.write(served, folder)
    write_text(folder / "README.md", text)
    config = {  # what other programs look for in a repository
        "library_name": "qcs_jax",
        "model_type": trained.config.model.name,
        "size": trained.config.model.size,
        "image_size": served.model.image_size,
        "resize": trained.resize,
        "id2label": {str(i): name for i, name in enumerate(trained.class_names)},
        "label2id": {name: i for i, name in enumerate(trained.class_names)},
    }
    write_json(folder / "config.json", config)
    try:
        onnx.check_installed()
    except UserError as error:
        print(f"  note       no {onnx.MODEL_FILE}: {error}")
        return
    onnx.write(served, folder)
    tolerance = served.tolerance(onnx.TOLERANCE)
    largest_difference(served, onnx.load(folder), tolerance)


def model_card(trained: Trained, name: str) -> str:
    """The card, Markdown behind a YAML header; UserError without an evaluation."""
    measured = trained.evaluation
    if not measured:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"a model card needs what an evaluation measures{doubt}: evaluate this "
            f"run, and export it again"
        )
    about, metrics = trained.description, measured["metrics"]
    base = models.count({"params": {"base": trained.variables["params"]["base"]}})
    low, high = map(_percent, measured["intervals"]["accuracy"])
    start = trained.config.init_from
    texts = {"name": name, "dataset": measured["dataset"], "split": measured["split"]}
    return _TEMPLATE.read_text("utf-8").format(
        name=name,
        quoted={key: json.dumps(text) for key, text in texts.items()},
        license="apache-2.0" if trained.drawn else "other",
        trained=trained,
        config=trained.config,
        about=about,
        chosen=about.get("chosen", trained.chosen),
        parameters=base / 1e6,
        classes=", ".join(trained.class_names),
        grey=", in grey" if trained.config.model.grey else "",
        layout=_layout(trained),
        start=f", from the weights of `{start}`" if start else "",
        limits=_DRAWN if trained.drawn else _LIMITS,
        measured=measured,
        metrics=metrics,
        percent={key: _percent(value) for key, value in metrics.items()},
        low=low,
        high=high,
        **_by_class(measured),
        scaled=_scaled(measured.get("calibrated"), about.get("temperature")),
        robustness=_robustness(measured.get("robustness")),
        groups=_groups(measured.get("groups")),
    )


def _layout(trained: Trained) -> str:
    """What `model.safetensors` has, for PyTorch."""
    if models.is_published(trained.config.model.size):
        return "the names and layouts of the published PyTorch code"
    return "PyTorch's layouts; the published code has no such backbone"


def _by_class(measured: dict) -> dict[str, str]:
    """The tables of "results" and "confusion"."""
    rows, confusion = [], []
    for row, counts in zip(measured["per_class"], measured["confusion"], strict=True):
        scores = (_percent(row[name]) for name in ("recall", "precision", "f1"))
        rows.append((row["class"], row["examples"], *scores))
        confusion.append((row["class"], *counts))
    header = "class", "images", "recall", "precision", "F1"
    classes = (row["class"] for row in measured["per_class"])
    return {
        "results": _table(header, rows),
        "confusion": _table(("", *classes), confusion),
    }


def _scaled(calibrated: dict | None, temperature: float | None) -> str:
    if not (calibrated and temperature):
        return ""
    return (
        f", and with the temperature of {temperature:.3f} that is applied here "
        f"{_percent(calibrated['ece'])} % and {calibrated['nll']:.3f}"
    )


def _robustness(measured: dict | None) -> str:
    if measured is None:
        return "**Worse images** (blurred, dark, compressed, covered): not measured."
    rows = [(name, *map(_percent, x)) for name, x in measured["accuracy"].items()]
    severities = range(1, len(rows[0]))
    return (
        f"**Worse images.** {_percent(measured['mean'])} % are right on average over "
        f"the corruptions below, beside {_percent(measured['clean'])} % without."
        f"\n\n{_table(['corruption, severity', *severities], rows)}"
    )


def _groups(measured: dict | None) -> str:
    if measured is None:
        return "**Groups of people**: not measured."
    rows, remarks = [], []
    for column in measured["columns"]:
        for group in column["groups"]:
            low, high = map(_percent, group["intervals"]["accuracy"])
            name = group["group"] + " *" * group["small"]
            cells = name, group["examples"], _percent(group["accuracy"])
            rows.append((column["column"], *cells, f"{low} to {high}"))
        sentences = groups.remarks(column, measured["small"])
        remarks.append(f"- {column['column']}: {' '.join(sentences)}")
    table = _table(["", "group", "images", "accuracy", "95 %"], rows)
    return "\n\n".join(["**Groups of people.**", table, "\n".join(remarks)])


def _table(header: Iterable[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown; numbers stand right."""
    rule = ["---:" if str(x).replace(".", "").isdecimal() else "---" for x in rows[0]]
    lines = [" | ".join(map(str, row)) for row in (header, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"

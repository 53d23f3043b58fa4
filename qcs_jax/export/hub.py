"""A folder for the Hugging Face Hub: `hf upload OWNER/NAME FOLDER`.

`qcs_jax.load("hf:OWNER/NAME")` loads what was uploaded, see `checkpoint.weights`. Its
model card is `card.md`, filled in: it says what the run itself measured; what only
people know, such as the licence that the images allow, it leaves to them in so many
words.
"""

from __future__ import annotations

import json
import pathlib
import string
from collections.abc import Iterable, Sequence
from typing import Any

from qcs_jax import models
from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate import groups
from qcs_jax.export import check, onnx, safetensors
from qcs_jax.export.served import Options, Served
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json

load = safetensors.load

_TEMPLATE = pathlib.Path(__file__).with_name("card.md")

_DRAWN = "**Trained on drawn faces**: what it says about photographs means nothing."
_LIMITS = """\
**Not for** judging people: hiring, grading, policing, the diagnosis of anything, or any
decision about somebody. It names the expression that most annotators would see. That is
no proof of a feeling: people smile without joy and are angry without a frown. It sees a
face alone, without situation, voice or time, and has to choose one of its classes even
where none fits, or where there is no face at all."""


def write(served: Served, folder: pathlib.Path, options: Options) -> None:
    """Writes weights, ONNX, `config.json`, labels, and the model card `README.md`."""
    trained = options.trained
    assert trained, "the card is about the network"
    text = model_card(trained, options.name)  # before the work
    safetensors.write(served, folder, options)
    (folder / "README.md").write_text(text, "utf-8")
    config = {  # what other programs look for in a repository
        "library_name": "qcs_jax",
        "model_type": trained.config.model.name,
        "size": trained.config.model.size,
        "image_size": served.model.image_size,
        "resize": served.resize,
        "id2label": {str(i): name for i, name in enumerate(served.class_names)},
        "label2id": {name: i for i, name in enumerate(served.class_names)},
    }
    write_json(folder / "config.json", config)
    try:
        onnx.check_installed()
    except UserError as error:
        print(f"  note       no {onnx.MODEL_FILE}: {error}")
        return
    onnx.write(served, folder, options)
    tolerance = check.bound(onnx.TOLERANCE, options.quantize)
    check.largest_difference(served, onnx.load(folder), tolerance)


def model_card(trained: Trained, name: str) -> str:
    """The card, Markdown behind a YAML header; UserError without an evaluation."""
    measured = trained.evaluation
    if not measured:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"a model card needs what an evaluation measures{doubt}: evaluate this "
            f"run, and export it again"
        )
    classes = [row["class"] for row in measured["per_class"]]
    confusion = zip(classes, measured["confusion"], strict=True)
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(
        name=name,
        quoted_name=json.dumps(name),
        license="apache-2.0" if trained.drawn else "other",
        dataset=json.dumps(measured["dataset"]),
        split=json.dumps(measured["split"]),
        accuracy=f"{measured['metrics']['accuracy']:.4f}",
        network=_network(trained),
        limits=_DRAWN if trained.drawn else _LIMITS,
        results=_results(measured),
        confusion=_table(["", *classes], [(name, *row) for name, row in confusion]),
        calibration=_calibration(measured, trained.description.get("temperature")),
        robustness=_robustness(measured.get("robustness")),
        groups=_groups(measured.get("groups")),
        training=_training(trained),
    )


def _network(trained: Trained) -> str:
    model, config = trained.model, trained.config.model
    base = models.count({"params": {"base": trained.variables["params"]["base"]}})
    network = (
        f"`{config.name}`, size `{config.size}` (QCS, Quadruplet Cross Similarity): "
        f"{base / 1e6:.2f} M parameters in the base branch, which alone predicts"
    )
    face = (
        f"a face, upright, resized to {trained.resize} x {trained.resize}, of which "
        f"the middle {model.image_size} x {model.image_size} are seen"
        f"{', in grey' if config.grey else ''}"
    )
    classes = ", ".join(trained.class_names)
    rows = [("network", network), ("classes", classes), ("input", face)]
    return _table(["", ""], rows)


def _results(measured: dict) -> str:
    metrics, (low, high) = measured["metrics"], measured["intervals"]["accuracy"]
    rows = []
    for row in measured["per_class"]:
        scores = (_percent(row[name]) for name in ("recall", "precision", "f1"))
        rows.append((row["class"], row["examples"], *scores))
    return (
        f"**Results** on {measured['examples']:,} images, {measured['dataset']} "
        f"“{measured['split']}”: accuracy **{_percent(metrics['accuracy'])} %** (95 %: "
        f"{_percent(low)} to {_percent(high)}); always the most frequent class "
        f"{_percent(metrics['most_frequent'])}, chance {_percent(metrics['chance'])}."
        f"\n\n{_table(['class', 'images', 'recall', 'precision', 'F1'], rows)}"
    )


def _calibration(measured: dict, temperature: float | None) -> str:
    metrics = measured["metrics"]
    text = (
        f"**Calibration.** The calibration error is {_percent(metrics['ece'])} %, the "
        f"mean negative log likelihood {metrics['nll']:.3f} nats"
    )
    if temperature:
        scaled = measured["calibrated"]
        text += (
            f", and with the temperature of {temperature:.3f} that is applied here "
            f"{_percent(scaled['ece'])} % and {scaled['nll']:.3f}"
        )
    return f"{text}."


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


def _training(trained: Trained) -> str:
    about = trained.description
    versions = about["versions"]
    return (
        f"**Training.** On {trained.config.data.name}, seed {trained.config.seed}, "
        f"step {trained.step:,} ({about.get('chosen', 'as named')}), commit "
        f"`{versions['commit'][:12]}`, JAX {versions['jax']}:\n\n"
        f"```bash\n{about['command']}\n```"
    )


def _table(header: Iterable[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown; numbers stand right."""
    numbers = [str(cell).replace(".", "").isdecimal() for cell in rows[0]]
    rule = ["---:" if is_number else "---" for is_number in numbers]
    lines = [" | ".join(map(str, row)) for row in (header, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"

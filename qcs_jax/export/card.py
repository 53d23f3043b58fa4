"""The model card of a network for the Hub, in the layout that Hugging Face reads.

It says what the run itself measured; what only people know, such as the licence that
the images allow, it leaves to them in so many words.
"""

from __future__ import annotations

import json

from qcs_jax import models
from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate import groups
from qcs_jax.system.errors import UserError

_LIMITS = """\
**Not for** judging people: hiring, grading, policing, the diagnosis of anything, or any
decision about somebody. It names the expression that most annotators would see. That is
no proof of a feeling: people smile without joy and are angry without a frown. It sees a
face alone, without situation, voice or time, and has to choose one of its classes even
where none fits, or where there is no face at all."""


def text(trained: Trained, name: str) -> str:
    """Returns the card, Markdown behind a YAML header.

    Args:
      trained: The network; it was evaluated.
      name: What it is called.

    Raises:
      UserError: if it was not evaluated.
    """
    found = trained.evaluation
    if not found:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"a model card needs what an evaluation measures{doubt}: evaluate this "
            f"run, and export it again"
        )
    return "\n\n".join(
        [
            _header(trained, found, name),
            f"# {name}",
            _what(trained),
            _use(),
            _limits(trained),
            _results(found),
            _confusion(found),
            _calibration(trained, found),
            _worse_images(found.get("robustness")),
            _groups(found.get("groups")),
            _training(trained),
            "**Licence.** Weights inherit the terms of the images they were trained "
            "on: say here what those allow, and `license:` above.",
            "",
        ]
    )


def _header(trained: Trained, found: dict, name: str) -> str:
    data = json.dumps(found["dataset"])
    return f"""\
---
library_name: qcs_jax
license: {"apache-2.0" if trained.drawn else "other"}
pipeline_tag: image-classification
tags: [facial-expression-recognition, qcs, jax, flax, safetensors, onnx]
datasets: [{data}]
metrics: [accuracy]
model-index:
- name: {json.dumps(name)}
  results:
  - task: {{type: image-classification}}
    dataset: {{name: {data}, type: {data}, split: {json.dumps(found["split"])}}}
    metrics:
    - {{type: accuracy, value: {found["metrics"]["accuracy"]:.4f}}}
---"""


def _what(trained: Trained) -> str:
    model, config = trained.model, trained.config.model
    base = models.count({"params": {"base": trained.variables["params"]["base"]}})
    rows = {
        "network": f"`{config.name}`, size `{config.size}` (QCS, Quadruplet Cross "
        f"Similarity): {base / 1e6:.2f} M parameters in the base branch, which alone "
        f"predicts",
        "classes": ", ".join(trained.class_names),
        "input": f"a face, upright, resized to {trained.resize} x {trained.resize}, of "
        f"which the middle {model.image_size} x {model.image_size} are seen"
        + (", in grey" if config.grey else ""),
    }
    lines = [f"| {key} | {value} |" for key, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _use() -> str:
    return """\
```python
import qcs_jax

print(qcs_jax.load("hf:OWNER/NAME").predict("face.jpg"))
```

`model.safetensors` has the names and layouts of the published PyTorch code.
`model.onnx`, where there is one, takes uint8 RGB `[batch, height, width, 3]` and gives
`logits` and `probabilities`."""


def _limits(trained: Trained) -> str:
    if trained.drawn:
        return (
            "**Trained on drawn faces**: what it says about photographs means nothing."
        )
    return _LIMITS


def _results(found: dict) -> str:
    metrics, intervals = found["metrics"], found["intervals"]
    low, high = intervals["accuracy"]
    lines = [
        f"**Results** on {found['examples']:,} images, {found['dataset']} "
        f"“{found['split']}”: accuracy **{100 * metrics['accuracy']:.1f} %** (95 %: "
        f"{100 * low:.1f} to {100 * high:.1f}); always the most frequent class "
        f"{100 * metrics['most_frequent']:.1f}, chance {100 * metrics['chance']:.1f}.",
        "",
        "| class | images | recall | precision | F1 |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in found["per_class"]:
        cells = [_percent(row[key]) for key in ("recall", "precision", "f1")]
        lines.append(f"| {row['class']} | {row['examples']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _confusion(found: dict) -> str:
    names = [row["class"] for row in found["per_class"]]
    lines = ["What images (rows) were taken for (columns):", ""]
    lines += [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for name, row in zip(names, found["confusion"], strict=True):
        lines.append(f"| {name} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def _calibration(trained: Trained, found: dict) -> str:
    metrics = found["metrics"]
    told = (
        f"**Calibration.** The calibration error is {100 * metrics['ece']:.1f} %, the "
        f"mean negative log likelihood {metrics['nll']:.3f} nats"
    )
    if temperature := trained.description.get("temperature"):
        scaled = found["calibrated"]
        told += (
            f", and with the temperature of {temperature:.3f} that is applied here "
            f"{100 * scaled['ece']:.1f} % and {scaled['nll']:.3f}"
        )
    return f"{told}."


def _worse_images(found: dict | None) -> str:
    if found is None:
        return "**Worse images** (blurred, dark, compressed, covered): not measured."
    accuracy = found["accuracy"]
    severities = range(1, 1 + len(next(iter(accuracy.values()))))
    lines = [
        f"**Worse images.** {_percent(found['mean'])} % are right on average over "
        f"the corruptions below, beside {_percent(found['clean'])} % without.",
        "",
        f"| corruption, severity | {' | '.join(map(str, severities))} |",
        f"|---|{'---:|' * len(severities)}",
    ]
    for name, values in accuracy.items():
        lines.append(f"| {name} | {' | '.join(map(_percent, values))} |")
    return "\n".join(lines)


def _groups(found: dict | None) -> str:
    if found is None:
        return "**Groups of people**: not measured."
    lines = [
        "**Groups of people.**",
        "",
        "| | group | images | accuracy | 95 % |",
        "|---|---|---:|---:|---|",
    ]
    for column in found["columns"]:
        for group in column["groups"]:
            low, high = map(_percent, group["intervals"]["accuracy"])
            name = group["group"] + " *" * group["small"]
            lines.append(
                f"| {column['column']} | {name} | {group['examples']} | "
                f"{_percent(group['accuracy'])} | {low} to {high} |"
            )
    lines.append("")
    for column in found["columns"]:
        said = groups.remarks(column, found["small"])
        lines.append(f"- {column['column']}: {' '.join(said)}")
    return "\n".join(lines)


def _training(trained: Trained) -> str:
    said = trained.description
    versions = said["versions"]
    return (
        f"**Training.** On {trained.config.data.name}, seed {trained.config.seed}, "
        f"step {trained.step:,} ({said.get('chosen', 'as named')}), commit "
        f"`{versions['commit'][:12]}`, JAX {versions['jax']}:\n\n"
        f"```bash\n{said['command']}\n```\n\n"
        f"The whole configuration lies in the metadata of `model.safetensors`."
    )

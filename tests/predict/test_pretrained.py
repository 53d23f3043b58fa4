"""The network that comes with the package, as a user meets it."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import qcs_jax
from qcs_jax import models
from qcs_jax.checkpoint import Trained, load_variables, weights
from qcs_jax.predict import __main__ as command
from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

CARD = (weights.PRETRAINED / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def trained():
    return Trained.load("fer2013")


@pytest.fixture(scope="module")
def classifier():
    return qcs_jax.load()


def test_it_is_small_and_says_what_it_is(trained):
    assert weights.pretrained().keys() == {"fer2013"}
    assert weights.pretrained()["fer2013"].stat().st_size < 6e6
    assert trained.class_names == DATASETS["fer2013"].class_names and not trained.drawn
    said = trained.description
    assert said["config"]["model"]["size"] == "medium"
    assert said["command"].startswith("python -m qcs_jax.main --config=configs/fer2013")
    assert re.fullmatch("[0-9a-f]{40}", said["versions"]["commit"])
    assert np.shape(trained.landmarks) == (4, 2)
    text = json.dumps(said)
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|usr)\b", text)


def test_a_backbone_to_start_from():
    path = weights.find("faces")
    assert path.stat().st_size < 6e6 and "faces" not in weights.pretrained()
    variables, description, _ = load_variables("faces")
    model = models.create("baseline", "medium")
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    for name, tree in shapes.items():
        expected = {"base": {"backbone": tree["base"]["backbone"]}}
        assert jax.tree.map(np.shape, expected) == jax.tree.map(
            np.shape, variables[name]
        )
    assert re.fullmatch("[0-9a-f]{40}", description["versions"]["commit"])
    assert "/tmp" not in json.dumps(description)
    with pytest.raises(UserError, match="a backbone alone.*--config.init_from"):
        qcs_jax.load("faces")


def test_the_card_has_the_numbers_of_the_file(trained):
    evaluation = trained.description["evaluation"]
    assert evaluation["examples"] == 3589
    assert f"**{100 * evaluation['metrics']['accuracy']:.1f} %**" in CARD
    for row in evaluation["per_class"]:
        recall = f"{100 * row['recall']:.1f}"
        assert f"| {row['class']} | {row['examples']:,} | {recall} " in CARD
    assert f"calibration error is {100 * evaluation['metrics']['ece']:.1f} %" in CARD


def test_a_folder_of_images_does_not_hide_it(trained, tmp_path, monkeypatch):
    """Nor from `explain`, and from other processes, which may run elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fer2013" / "train").mkdir(parents=True)
    here = qcs_jax.load("fer2013")
    monkeypatch.chdir("/")
    assert here.explain(*2 * [np.zeros((112, 112, 3), np.uint8)])


def test_the_command_uses_it(classifier, capsys, portrait_path):
    assert command.main([str(portrait_path), "--json"]) == 0
    [photo] = json.loads(capsys.readouterr().out)
    assert len(photo["faces"]) == 1
    expected = classifier.predict_photo(portrait_path).to_dict()
    assert photo == {**json.loads(json.dumps(expected)), "error": None}


def test_a_fresh_process_loads_nothing_of_training(classifier, portrait_path):
    code = "import sys, qcs_jax; print(qcs_jax.load().predict(sys.argv[1]).label)"
    code += "; print(*sys.modules, sep=chr(10))"
    argv = [sys.executable, "-W", "error", "-c", code, str(portrait_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    label, *loaded = done.stdout.splitlines()
    assert label == classifier.predict(portrait_path).label and not done.stderr
    forbidden = ("grain", "tensorflow", "tensorflow_datasets", "torch", "tensorboardX")
    forbidden += ("qcs_jax.train", "qcs_jax.input", "tqdm", "pandas", "scipy", "orbax")
    assert not set(loaded) & {*forbidden}

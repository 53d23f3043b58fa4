"""The recipes of the paper, and what may follow the colon."""

import itertools
import pathlib
import re

import manuals
import pytest

from qcs_jax.config import FIELDS, validate
from qcs_jax.config.flags import read_config
from qcs_jax.config.variant import Variant
from qcs_jax.models import SIZES
from qcs_jax.system.errors import UserError

MANUAL = pathlib.Path(__file__).parents[2] / "configs/README.md"
NETWORKS = ("baseline", "dcs", "qcs")


def get_config(name, variant=""):
    return read_config(f"{name}:{variant}" if variant else name, [])


# Recipe, variant -> epochs, batch, rate, dropout cross and base, resize, rotation,
# erased area, part of the images in an epoch. The table of the paper.
PUBLISHED = {
    ("raf", "dcs"): (200, 48, 9e-6, 0.2, 0, 224, 0, 0.02, 1),
    ("raf", "qcs"): (200, 24, 4e-6, 0, 0, 224, 0, 0.02, 1),
    ("raf", "qcs,finetune"): (200, 24, 3e-6, 0, 0, 224, 0, 0.02, 1),
    ("ferplus", "dcs"): (150, 48, 8e-6, 0.2, 0, 234, 10, 0.02, 1),
    ("ferplus", "qcs"): (150, 24, 3.5e-6, 0.2, 0, 234, 10, 0.02, 1),
    ("ferplus", "qcs,finetune"): (150, 24, 2.5e-6, 0.2, 0, 234, 10, 0.02, 1),
    ("affectnet7", "dcs"): (80, 48, 9e-6, 0.4, 0, 236, 12, 0.03, 1 / 8),
    ("affectnet7", "qcs"): (80, 24, 4e-6, 0.4, 0, 236, 12, 0.03, 1 / 12),
    ("affectnet8", "dcs"): (80, 48, 9e-6, 0.5, 0.2, 236, 12, 0.03, 1 / 8),
    ("affectnet8", "qcs"): (80, 24, 4e-6, 0, 0, 236, 12, 0.03, 1 / 12),
}
DATA = {
    "raf": "raf_db",
    "ferplus": "ferplus",
    "affectnet7": "affectnet/7",
    "affectnet8": "affectnet/8",
}


@pytest.mark.parametrize("name, variant", PUBLISHED)
def test_recipes_are_those_of_the_paper(name, variant):
    c = get_config(name, variant)
    validate(c)
    numbers = (
        *(c.train.epochs, c.train.batch_size, c.optimizer.learning_rate),
        *(c.model.cross_dropout, c.model.dropout, c.data.resize),
        *(c.augment.rotation, c.augment.erase_area[0], c.data.epoch_fraction),
    )
    assert numbers == PUBLISHED[name, variant]
    assert c.model.name == variant.partition(",")[0] and c.model.size == "full"
    assert c.data.name == DATA[name]
    assert (c.optimizer.decay, c.optimizer.rho) == (0.98, 0.05)
    assert c.augment.erase_area[1] == 0.1 and c.augment.erase == c.augment.flip == 0.5
    a = c.augment
    colors = (a.brightness, a.contrast, a.saturation, a.hue)
    assert colors == ((0, 0, 0, 0) if name == "raf" else (0.2, 0.2, 0.2, 0.1))
    balanced = name.startswith("affectnet")
    assert c.data.anchors == ("balanced" if balanced else "shuffled")
    assert c.data.negatives == ("by_class" if balanced else "by_image")
    eight = name in ("ferplus", "affectnet8")
    assert c.model.drop_projection == eight
    assert c.model.residual == (
        "pre_norm" if eight and variant == "dcs" else "normalized"
    )
    assert c.init_from == ("runs/affectnet8_qcs" if "finetune" in variant else "")


# Recipe -> the size of its networks, and the flags that change it.
FORMS = {
    **dict.fromkeys(DATA, ("full", ["", "tiny", "small", "medium"])),
    "fer2013": ("small", ["", "tiny", "medium"]),
    "demo": ("tiny", [""]),
    "folder": ("tiny", [""]),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_recipe_has_three_networks_and_smaller_forms(name):
    assert get_config(name) == get_config(name, "qcs")
    size, flags = FORMS[name]
    for network, flag in itertools.product(NETWORKS, flags):
        words = [word for word in (network, flag) if word]
        c = get_config(name, ",".join(words))
        validate(c)
        assert (c.model.name, c.model.size) == (network, flag or size)
        assert c.init_from == ("faces" if flag == "medium" else "")
        plain = size == "tiny" and network == "qcs"  # goes without saying
        assert c.name == (name if plain else "_".join([name, *words]))
        if flag and name in DATA:
            assert 0 <= c.data.resize - SIZES[flag]["image_size"] <= 6


def test_fer2013_goes_on_where_the_baseline_ended():
    c, baseline = (get_config("fer2013", x) for x in ("qcs,finetune", "baseline"))
    validate(c)
    assert c.init_from == f"runs/{baseline.name}"
    assert c.data.val_split == baseline.data.val_split == "validation"
    assert c.optimizer.rho > 0 == baseline.optimizer.rho


def test_unknown_variants_say_what_there_is():
    for text in "|vgg|qcs,large|qcs,dcs|tiny|qcs,|qcs,tiny,finetune".split("|"):
        with pytest.raises(UserError, match="give baseline, dcs, qcs, alone or with"):
            Variant.parse(text)
        with pytest.raises(UserError, match="give baseline, dcs, qcs$"):
            Variant.parse(text, flags=())


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "python -m qcs_jax.main"), ids=" ".join
)
def test_commands_of_the_manual(words):
    config, *overrides = words
    validate(read_config(config.removeprefix("--config="), overrides))


def test_fields_and_the_recipe_of_the_manual(tmp_path):
    text = MANUAL.read_text("utf-8")
    names = re.findall(r"`((?:data|model|loss)\.\w+)", text)
    assert len(names) > 12 and set(names) <= FIELDS.keys()
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "mine.py").write_text(code)
    for network in NETWORKS:
        c = read_config(f"{tmp_path / 'mine.py'}:{network},tiny", [])
        validate(c)
        assert (c.name, c.model.name) == (f"mine_{network}_tiny", network)
    assert read_config(str(tmp_path / "mine.py"), []).name == "mine_qcs"

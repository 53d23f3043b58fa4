"""FER2013: 28,709 training, 3,589 validation and 3,589 test images, 7 classes.

python data/prepare.py fer2013 --manual_dir=FOLDER --drop_duplicates
python -m qcs_jax.main --config=configs/fer2013.py:baseline
python -m qcs_jax.main --config=configs/fer2013.py:qcs,finetune

The first run trains a small network on single faces with plain Adam, the second goes on
from runs/fer2013_baseline with quadruplets and SAM. PublicTest (validation) chooses the
epoch, PrivateTest (test) is what is reported.

An epoch of each network sees as many images, and so does a step. What the networks give
from scratch, with SAM each, on PublicTest (see README.md):

qcs-jax experiment --config=configs/fer2013.py:qcs,tiny --table=networks \\
    --seeds=0,1,2 --workdir=runs/fer2013_networks --config.optimizer.rho=0.05 \\
    --config.data.val_split= --config.data.test_split=validation
"""

from qcs_jax.config.variant import Variant, from_scratch
from qcs_jax.models import BRANCHES


def get_config(variant="qcs"):
    v = Variant.parse(variant, flags=("finetune", "tiny", "medium"))
    images = BRANCHES[v.network]
    c = v.config("fer2013")
    from_scratch(c, v.flag if v.flag in ("tiny", "medium") else "small")
    c.data.name = "fer2013"
    c.data.val_split = "validation"
    c.data.resize = 48
    c.model.grey = True
    c.data.epoch_fraction = 1 / images
    c.augment.rotation = 10.0
    c.augment.brightness = c.augment.contrast = 0.2
    c.loss.label_smoothing = 0.1
    c.optimizer.schedule = "cosine"
    c.optimizer.warmup = 0.5
    c.optimizer.learning_rate = 5e-4
    c.optimizer.rho = 0.0 if v.network == "baseline" else 0.05
    c.train.batch_size = 32 // images
    c.train.epochs = 24
    if v.flag == "tiny":
        c.optimizer.learning_rate = 1e-3
        c.train.batch_size = 128 // images
        c.train.epochs = 8
    if v.flag == "medium":
        c.init_from = "faces"
        c.data.resize = 112
        c.augment.scale = 0.15
        c.augment.shift = 0.05
        c.augment.photograph = 0.3
        c.optimizer.average = 0.998
        c.optimizer.rho = 0.0
        c.train.batch_size = 64 // images
    if v.finetune:
        c.init_from = "runs/fer2013_baseline"
        c.optimizer.learning_rate = 1e-4
        c.train.epochs = 4
    return c

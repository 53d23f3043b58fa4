"""FERPlus: FER2013's images with the majority of ten votes, 25,060 / 3,153, 8 classes.

python data/prepare.py ferplus --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/ferplus.py --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/ferplus.py:dcs --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/ferplus.py:qcs,finetune --config.init_from=RUN

RUN is a QCS that was trained on AffectNet-8 (configs/affectnet8.py, or the authors'
.pth file). The paper's test accuracy: 91.41 (dcs), 91.41 (qcs), 91.85 (qcs,finetune);
the best epoch on the test split of the best of five runs.

The authors' scripts train dcs with 24 pairs in a step, the paper with 48, and resize to
232 for qcs, the paper to 234; this is the paper.
"""

from qcs_jax.config.variant import Variant


def get_config(variant="qcs"):
    v = Variant.parse(variant)
    c = v.config("ferplus")
    c.data.name = "ferplus"
    c.data.resize = 234
    c.model.cross_dropout = 0.2
    c.model.drop_projection = True
    c.model.residual = v.choose(dcs="pre_norm", qcs="normalized", finetune="normalized")
    c.augment.rotation = 10.0
    c.augment.brightness = c.augment.contrast = c.augment.saturation = 0.2
    c.augment.hue = 0.1
    c.optimizer.learning_rate = v.choose(dcs=8e-6, qcs=3.5e-6, finetune=2.5e-6)
    c.train.batch_size = v.choose(dcs=48, qcs=24, finetune=24)
    c.train.epochs = 150
    return v.complete(c)

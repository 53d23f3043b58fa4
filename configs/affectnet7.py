"""AffectNet with 7 classes: 283,901 / 3,500 images.

python data/prepare.py affectnet/7 --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/affectnet7.py --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/affectnet7.py:dcs --config.init_from=ir50.pth

The paper's test accuracy: 67.66 (dcs), 67.94 (qcs); the best epoch on the
test split of the best of five runs.

An epoch takes an eighth (qcs: a twelfth) of the training images as anchors, drawn with
equal probability of every class. To add the rare classes of other data sets, as the
paper does:

--config.data.extra=raf_db:fear,disgust+ferplus:fear,disgust
"""

from qcs_jax.config.variant import Variant


def get_config(variant="qcs"):
    v = Variant.parse(variant)
    c = v.config("affectnet7")
    c.data.name = "affectnet/7"
    c.data.resize = 236
    c.data.anchors = "balanced"
    c.data.negatives = "by_class"
    c.data.epoch_fraction = v.choose(dcs=1 / 8, qcs=1 / 12)
    c.model.cross_dropout = 0.4
    c.augment.rotation = 12.0
    c.augment.brightness = c.augment.contrast = c.augment.saturation = 0.2
    c.augment.hue = 0.1
    c.augment.erase_area = (0.03, 0.1)
    c.optimizer.learning_rate = v.choose(dcs=9e-6, qcs=4e-6)
    c.train.batch_size = v.choose(dcs=48, qcs=24)
    c.train.epochs = 80
    return v.complete(c)

"""AffectNet with 8 classes: 287,651 / 4,000 images.

python data/prepare.py affectnet/8 --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/affectnet8.py --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/affectnet8.py:dcs --config.init_from=ir50.pth

The paper's test accuracy: 64.40 (dcs), 64.30 (qcs); the best epoch on the
test split of the best of five runs.

The authors' script starts dcs at 8e-6, the paper at 9e-6; this is the paper.

An epoch takes an eighth (qcs: a twelfth) of the training images as anchors, drawn with
equal probability of every class. To add the rare classes of other data sets, as the
paper does:

--config.data.extra=raf_db:fear,disgust+ferplus:fear,disgust,contempt
"""

from qcs_jax.config.variant import Variant


def get_config(variant="qcs"):
    v = Variant.parse(variant)
    c = v.config("affectnet8")
    c.data.name = "affectnet/8"
    c.data.resize = 236
    c.data.anchors = "balanced"
    c.data.negatives = "by_class"
    c.data.epoch_fraction = v.choose(dcs=1 / 8, qcs=1 / 12)
    c.model.dropout = v.choose(dcs=0.2, qcs=0.0)
    c.model.cross_dropout = v.choose(dcs=0.5, qcs=0.0)
    c.model.drop_projection = True
    c.model.residual = v.choose(dcs="pre_norm", qcs="normalized")
    c.augment.rotation = 12.0
    c.augment.brightness = c.augment.contrast = c.augment.saturation = 0.2
    c.augment.hue = 0.1
    c.augment.erase_area = (0.03, 0.1)
    c.optimizer.learning_rate = v.choose(dcs=9e-6, qcs=4e-6)
    c.train.batch_size = v.choose(dcs=48, qcs=24)
    c.train.epochs = 80
    return v.complete(c)

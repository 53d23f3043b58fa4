"""RAF-DB: 12,271 training and 3,068 test images, 7 classes.

python data/prepare.py raf_db --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/raf.py --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/raf.py:dcs --config.init_from=ir50.pth
python -m qcs_jax.main --config=configs/raf.py:qcs,finetune --config.init_from=RUN

RUN is a QCS that was trained on AffectNet-8 (configs/affectnet8.py, or the authors'
.pth file). The paper's test accuracy: 92.57 (dcs), 92.50 (qcs), 93.02 (qcs,finetune);
the best epoch on the test split of the best of five runs.

The authors' script starts qcs at 3e-6, the paper at 4e-6; this is the paper.
"""

from qcs_jax.config.variant import Variant


def get_config(variant="qcs"):
    v = Variant.parse(variant)
    c = v.config("raf")
    c.data.name = "raf_db"
    c.model.cross_dropout = v.choose(dcs=0.2, qcs=0.0, finetune=0.0)
    c.optimizer.learning_rate = v.choose(dcs=9e-6, qcs=4e-6, finetune=3e-6)
    c.train.batch_size = v.choose(dcs=48, qcs=24, finetune=24)
    c.train.epochs = 200
    return v.complete(c)

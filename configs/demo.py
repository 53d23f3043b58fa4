"""Trains a tiny QCS on drawn faces, in minutes on two CPU cores.

python data/prepare.py synthetic_faces
python -m qcs_jax.main --config=configs/demo.py
python -m qcs_jax.main --config=configs/demo.py:dcs
"""

from qcs_jax.config.variant import small_config


def get_config(variant="qcs"):
    c = small_config("demo", variant)
    c.data.name = "synthetic_faces/balanced"
    c.data.val_fraction = 0.1
    c.data.resize = 56
    c.augment.erase = 0.0
    c.optimizer.learning_rate = 1e-3
    c.optimizer.schedule = "cosine"
    c.optimizer.warmup = 0.5
    c.train.epochs = 6
    return c

"""Trains a tiny QCS on drawn faces, in minutes on two CPU cores.

python data/prepare.py synthetic_faces
python -m qcs_jax.main --config=configs/demo.py
"""

from qcs_jax.config import base_config


def get_config():
    c = base_config()
    c.name = "demo"
    c.data.name = "synthetic_faces/balanced"
    c.data.val_fraction = 0.1
    c.data.resize = 56
    c.model.size = "tiny"
    c.augment.erase = 0.0
    c.optimizer.learning_rate = 6e-4
    c.optimizer.decay = 0.72
    c.train.batch_size = 16
    c.train.epochs = 8
    return c

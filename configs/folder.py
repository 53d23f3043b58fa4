"""Trains on your own images.

python data/prepare.py image_folder --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/folder.py --config.data.name=image_folder/NAME
"""

from qcs_jax.config import base_config


def get_config():
    c = base_config()
    c.name = "folder"
    c.data.name = "image_folder"
    c.data.resize = 56
    c.model.size = "tiny"
    c.optimizer.learning_rate = 6e-4
    c.optimizer.decay = 0.88
    c.train.batch_size = 16
    c.train.epochs = 20
    return c

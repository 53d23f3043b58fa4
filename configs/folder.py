"""Trains on your own images.

python data/prepare.py image_folder --manual_dir=FOLDER
python -m qcs_jax.main --config=configs/folder.py --config.data.name=image_folder/NAME
"""

from qcs_jax.config.variant import small_config


def get_config(variant="qcs"):
    c = small_config("folder", variant)
    c.data.name = "image_folder"
    c.data.resize = 56
    return c

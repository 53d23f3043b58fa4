"""Prepares a dataset for training.

    python data/prepare.py synthetic_faces
    python data/prepare.py synthetic_faces/biased
    python data/prepare.py image_folder --manual_dir=~/pictures/pets
    python data/prepare.py image_folder --manual_dir=~/faces --test_fraction=0.2
    python data/prepare.py fer2013 --manual_dir=~/downloads/fer2013
    python data/prepare.py raf_db --manual_dir=~/downloads/raf-db
    python data/prepare.py affectnet/8 --manual_dir=~/downloads/affectnet

See data/README.md for what each dataset needs.
"""

from qcs_jax.input import prepare
from qcs_jax.system import command

if __name__ == "__main__":
    command.start(prepare.main)

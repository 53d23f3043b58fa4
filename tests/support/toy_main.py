"""`qcs_jax.main` in the world of `toy`, for tests that start processes.

python toy_main.py --config=tests/support/toy_recipe.py ...
"""

import pytest
import toy

from qcs_jax import main
from qcs_jax.system import command

if __name__ == "__main__":
    toy.install(pytest.MonkeyPatch())
    command.start(main.main)

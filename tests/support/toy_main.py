"""`qcs_jax.main` in the world of `toy`, for tests that start processes.

python toy_main.py --config=tests/support/toy_recipe.py ...
"""

import functools

import jax
import pytest
import toy
from jax._src import compiler, distributed

from qcs_jax import main
from qcs_jax.system import command
from qcs_jax.train import evaluate, step


def weights_stay(*model, **options):
    """`make_eval_step`, failing if the weights come from the host for every batch."""
    eval_step = step.make_eval_step(*model, **options)
    mesh = jax.sharding.Mesh(jax.local_devices(), (step.AXIS,))
    divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(step.AXIS))

    @functools.wraps(eval_step)
    def guarded(variables, images):
        images = jax.device_put(images, divided)
        with jax.transfer_guard_host_to_device("disallow"):
            return eval_step(variables, images)

    return guarded


def cached(*program):
    """Keeps a compiled program, which JAX does in process 0 alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed.global_state, "process_id", 0)
        write_to_cache(*program)


write_to_cache = compiler._cache_write

if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    patch.setattr(compiler, "_cache_write", cached)
    toy.install(patch)
    patch.setattr(evaluate, "make_eval_step", weights_stay)
    command.start(main.main)

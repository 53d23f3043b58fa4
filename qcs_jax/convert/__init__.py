"""PyTorch checkpoints of the published networks, both ways.

    variables = convert.read_pth("model_best.pth").variables
    variables = convert.from_torch(state_dict)
    state_dict = convert.to_torch(variables)

As a command: `qcs-jax convert model_best.pth --out=DIR`.
"""

from qcs_jax.convert.conversion import (
    convert_state_dict,
    from_torch,
    read_pth,
    to_torch,
)

__all__ = ["convert_state_dict", "from_torch", "read_pth", "to_torch"]

"""PyTorch checkpoints of the published networks, both ways.

    state_dict = reader.state_dict_of(reader.load_pth("model_best.pth"))
    variables = convert.from_torch(state_dict)
    state_dict = convert.to_torch(variables)

As a command: `python -m qcs_jax.convert model_best.pth --out=DIR`.
"""

from qcs_jax.convert.conversion import (
    Conversion,
    convert_state_dict,
    default_residual,
    from_torch,
    read_pth,
    to_torch,
)

__all__ = [
    "Conversion",
    "convert_state_dict",
    "default_residual",
    "from_torch",
    "read_pth",
    "to_torch",
]

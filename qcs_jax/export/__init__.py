"""The base branch of a checkpoint as a model that runs without this project.

qcs-jax export --checkpoint=RUN --format=savedmodel --out=models/fer/1
"""

from qcs_jax.export import noise as noise  # before JAX: it looks at what JAX then sets

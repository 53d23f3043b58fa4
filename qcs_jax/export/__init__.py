"""The base branch of a checkpoint as a model that runs without this project.

python -m qcs_jax.export --checkpoint=RUN --format=savedmodel --out=models/fer/1
"""

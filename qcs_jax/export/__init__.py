"""The base branch of a checkpoint as a model that runs without this project.

qcs-jax export --checkpoint=RUN --format=savedmodel --out=models/fer/1
"""

"""The configuration of `toy`, as a recipe with a variant for each network."""

import toy


def get_config(variant="baseline"):
    return toy.config(**{"model.name": variant})

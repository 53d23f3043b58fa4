"""Networks: what they share, what inference leaves out, and their options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax.traverse_util import flatten_dict, unflatten_dict

from qcs_jax import models
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.csa import CrossAttention, csa_maps
from qcs_jax.models.qcs import CrossBranch
from qcs_jax.models.vit import ViT


@pytest.mark.parametrize("name, n", [("baseline", 1), ("dcs", 2), ("qcs", 4)])
def test_shapes_and_base_branch(name, n):
    model = small.create(name)
    variables = small.variables(model)
    images = small.images(n, 2, 32, 32, 3)
    base, cross = model.apply(variables, images, method="interact")
    assert base.shape == (n, 2, 7)
    assert cross.shape == ((n if n > 1 else 0), 2, 7)
    single = model.apply(variables, images.reshape(-1, 32, 32, 3))
    np.testing.assert_allclose(single.reshape(base.shape), base, atol=2e-6)
    assert ("cross" in variables["params"]) == (n > 1)


def test_inference_reads_the_base_branch_alone():
    model = small.create("qcs")
    variables, images = small.variables(model), small.images(8, 32, 32, 3)
    jaxpr = jax.make_jaxpr(model.apply)(variables, images).jaxpr
    paths = jax.tree_util.tree_leaves_with_path((variables, images))
    used = {v for eqn in jaxpr.eqns for v in eqn.invars if not hasattr(v, "val")}
    for (path, _), var in zip(paths, jaxpr.invars, strict=True):
        is_cross = "cross" in jax.tree_util.keystr(path)
        assert (var in used) != is_cross, jax.tree_util.keystr(path)


def test_last_block_may_compute_the_class_token_alone():
    vit = ViT(num_classes=4, depth=2, heads=2)
    tokens = small.images(3, 6, 8)
    options = dict(layout=BatchLayout(), train=False)
    variables = vit.init(jax.random.key(0), tokens, **options, need_tokens=True)
    full = vit.apply(variables, tokens, **options, need_tokens=True)
    short = vit.apply(variables, tokens, **options, need_tokens=False)
    np.testing.assert_allclose(short.logits, full.logits, atol=1e-6)
    assert full.tokens.shape == tokens.shape and short.tokens is None

    def flops(need_tokens):
        apply = jax.jit(
            lambda v, t: vit.apply(v, t, **options, need_tokens=need_tokens)[0]
        )
        return apply.lower(variables, tokens).cost_analysis()["flops"]

    assert flops(False) < 0.7 * flops(True)


@functools.cache
def full_variables(name):
    return flatten_dict(small.variables(small.create(name)))


@pytest.mark.parametrize(
    "name, options",
    [
        ("dcs", dict(interaction="sdpa")),
        ("dcs", dict(residual="pre_norm")),
        *(("dcs", dict(connection=x)) for x in ("none", "gap", "bilinear")),
        ("qcs", dict(information="s")),
        ("qcs", dict(information="d")),
        ("qcs", dict(gamma=0.5)),
    ],
    ids=str,
)
def test_every_ablation_changes_the_cross_logits_alone(name, options):
    images = small.images(models.BRANCHES[name], 2, 32, 32, 3)

    def logits(**options):
        model, full = small.create(name, **options), full_variables(name)
        own = flatten_dict(small.variables(model)) if options else full
        weights = {
            path: full[path] if path in full and full[path].shape == x.shape else x
            for path, x in own.items()
        }
        return model.apply(unflatten_dict(weights), images, method="interact")

    (base, cross), (ablated_base, ablated_cross) = logits(), logits(**options)
    np.testing.assert_allclose(ablated_base, base, atol=1e-6)
    assert ablated_cross.shape == cross.shape
    assert np.isfinite(ablated_cross).all()
    assert np.abs(ablated_cross - cross).max() > 1e-6


def test_without_connection_the_refined_tokens_alone_are_classified():
    """Table 1, row 2, from its definition; with GAP the base tokens are added."""
    tokens, layout = small.images(6, 12, 16), BatchLayout(2)
    options = dict(num_classes=5, attention=CrossAttention, vit=ViT)
    none, gap = (CrossBranch(connection=c, **options) for c in ("none", "gap"))
    variables = none.init(jax.random.key(0), tokens, layout, train=False)
    head = variables["params"]["head"]

    found, seen = none.apply(
        variables, tokens, layout, train=False, capture_intermediates=True
    )
    refined = [seen["intermediates"][f"csa{i}"]["__call__"][0] for i in (1, 2, 3)]
    refined = np.concatenate([layout.merge(x) for x in refined], axis=1)
    expected = refined.mean(1) @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    np.testing.assert_allclose(found.features, refined.mean(1), atol=1e-5)

    both = gap.apply(variables, tokens, layout, train=False)
    added = both.logits - found.logits
    np.testing.assert_allclose(added, tokens.mean(1) @ head["kernel"], atol=1e-5)


def test_pre_norm_and_normalized_residuals():
    """Both forms of the residual, from their definitions."""
    x, layout = small.images(2, 2, 4, 8), BatchLayout(2)
    variables = CrossAttention().init(jax.random.key(0), x, layout)
    p = variables["params"]

    def norm(x, q):
        x = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x / deviation * q["scale"] + q["bias"]

    def linear(x, q):
        return x @ q["kernel"] + q["bias"]

    def mlp(x):
        h = jax.nn.gelu(linear(x, p["mlp"]["fc1"]), approximate=False)
        return linear(h, p["mlp"]["fc2"])

    with jax.numpy_rank_promotion("allow"):
        h = norm(x, p["norm1"])
        qk, v = jnp.split(linear(h, p["qk_v"]), 2, axis=-1)
        wv = csa_maps(qk, layout)[..., None] * v
        z = norm(h + wv, p["norm2"])
        y = x + wv
        expected = {"normalized": z + mlp(z), "pre_norm": y + mlp(norm(y, p["norm2"]))}
    for residual, value in expected.items():
        ours = CrossAttention(residual=residual).apply(variables, x, layout)
        np.testing.assert_allclose(ours, value, atol=1e-5)


def test_bfloat16_computes_in_half_precision_and_answers_in_full():
    model = small.create("qcs", dtype=jnp.bfloat16)
    variables = small.variables(small.create("qcs"))
    images = small.images(4, 2, 32, 32, 3)
    interact = jax.jit(functools.partial(model.apply, method="interact"))
    with jax.numpy_dtype_promotion("standard"):  # Flax's own layers mix the two
        base, cross = interact(variables, images)
    exact, _ = small.create("qcs").apply(variables, images, method="interact")
    assert base.dtype == cross.dtype == jnp.float32
    np.testing.assert_allclose(base, exact, atol=0.15 * np.abs(exact).max())
    assert np.abs(base - exact).max() > 1e-6


def test_wrong_names_and_shapes_say_what_is_right():
    with pytest.raises(ValueError, match="no network 'vgg'.*qcs"):
        models.create("vgg")
    model = small.create("qcs")
    with pytest.raises(ValueError, match="compares 4 branches"):
        images = small.images(2, 1, 32, 32, 3)
        model.apply(small.variables(model), images, method="interact")

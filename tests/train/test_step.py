"""The train step: one result for a global batch, on any number of devices."""

import jax
import numpy as np
import optax
import pytest
import small

from qcs_jax.config import base_config
from qcs_jax.images.augment import preprocess
from qcs_jax.train import sam
from qcs_jax.train.run import create_train_step
from qcs_jax.train.step import TrainState, make_eval_step, replicate

# Plain gradient descent shows the gradient itself; Adam would hide its scale.
OPTIMIZER = sam.SAM(optax.sgd(1.0), rho=0.05)
BASELINE = small.create("baseline", dropout=0.1)


def build(
    model, optimizer=OPTIMIZER, seed=3, devices=None, local_climb=False, average=0.0
):
    config = base_config()
    config.seed, config.optimizer.local_climb = seed, local_climb
    config.train.remat, config.optimizer.average = model.remat, average
    return create_train_step(config, model, optimizer, devices)


def take_step(devices, model=BASELINE, **options):
    step = build(model, devices=jax.devices()[:devices], **options)
    state = TrainState.create(small.variables(model), OPTIMIZER)
    return jax.device_get(step(state, small.batch(model, 8, devices), 0.1))


@pytest.fixture(scope="module")
def on_one_device():
    return take_step(1)


def test_result_does_not_depend_on_the_number_of_devices():
    model = small.create("qcs", dropout=0.1, cross_dropout=0.1)
    state, reports = take_step(8, model)
    expected_state, expected_reports = take_step(1, model)
    close(reports, expected_reports, rtol=2e-5, atol=1e-6)
    close(state, expected_state, rtol=1e-4, atol=2e-5)


def close(tree, expected, **tolerance):
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(tree),
        jax.tree.leaves(expected),
        strict=True,
    )
    for (path, x), y in pairs:
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, **tolerance, err_msg=name)


def test_all_devices_hold_the_same_state_and_all_runs_call_the_same_programs():
    """Neither pass, step, seed nor learning rate makes XLA compile once more."""
    model, optimizer = BASELINE, sam.SAM(sam.adam())
    first, second = (build(model, optimizer, seed) for seed in (0, 1))
    assert first.gradients[0] is first.gradients[1]
    batch = small.batch(model, 8, 8)
    state = replicate(TrainState.create(small.variables(model), optimizer))
    images, key, _ = first.prepare(first.seed, state.step, batch["image"])
    others, other_key, _ = second.prepare(second.seed, state.step, batch["image"])
    assert (np.asarray(images) != np.asarray(others)).any()
    assert (np.asarray(key) != np.asarray(other_key)).any()
    inputs = state.params, state.batch_stats, images, batch["label"], key, np.int32(0)
    texts = {
        (
            step.prepare.lower(step.seed, state.step, batch["image"]).as_text(),
            step.gradients[0].lower(*inputs).as_text(),
        )
        for step in (first, second)
    }
    assert len(texts) == 1
    before = state
    state, _ = first(state, batch, 1e-3)
    assert all(x.is_deleted() for x in jax.tree.leaves(before.params)), "donated"
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **kwargs: compiled.append(event)
    )
    for rate in (1e-3, 2e-3):
        state, reports = first(state, batch, rate)
    jax.monitoring.clear_event_listeners()
    assert not [event for event in compiled if "compile" in event]
    assert int(state.step) == 3
    for x in jax.tree.leaves((state, reports)):
        shards = [np.asarray(shard.data) for shard in x.addressable_shards]
        assert len(shards) == 8
        for shard in shards[1:]:
            np.testing.assert_array_equal(shard, shards[0])


def test_local_climb_is_the_same_on_one_device_and_another_on_two(on_one_device):
    shared, _ = on_one_device
    local, _ = take_step(1, local_climb=True)
    close(local.params, shared.params, rtol=1e-6, atol=1e-7)
    local, _ = take_step(2, local_climb=True)
    differences = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), local.params, shared.params
    )
    assert max(jax.tree.leaves(differences)) > 1e-6


def test_the_mean_of_weights_from_its_definition():
    """Of all variables, over the first steps shorter than its decay."""
    step, initial = build(BASELINE, average=0.2), small.variables(BASELINE)
    state = TrainState.create(initial, OPTIMIZER, averaged=True)
    expected, batch = initial, small.batch(BASELINE, 8, 8)
    for keep in (2 / 11, 0.2, 0.2):  # after t steps (1 + t) / (10 + t), or the field's
        state, _ = step(state, batch, 0.1)

        def mean(old, new, keep=keep):
            return keep * old + (1 - keep) * new

        expected = jax.tree.map(mean, expected, jax.device_get(state.trained))
        close(state.variables, expected, rtol=1e-5, atol=1e-6)


def test_without_a_climb_there_is_none_to_be_local():
    plain = sam.SAM(optax.sgd(1.0), rho=0.0)
    step = build(BASELINE, plain, local_climb=True)
    assert step.gradients[0] is step.gradients[1]  # the averaged gradient


def test_evaluation_is_the_base_branch_of_centre_crops():
    model = small.create("qcs")
    variables = small.variables(model)
    images = small.pixels(8, 3, 36, 36, 3)
    logits = make_eval_step(model)(replicate(variables), images)
    expected = model.apply(variables, preprocess(images.reshape(24, 36, 36, 3), 32))
    np.testing.assert_allclose(logits.reshape(24, -1), expected, atol=1e-5)


def test_rematerialised_units_give_the_same_step(on_one_device):
    result = take_step(1, BASELINE.clone(remat=True))
    close(result, on_one_device, rtol=1e-4, atol=2e-5)


def test_rematerialised_units_keep_less():
    def kept(remat):
        """Numbers that the forward pass leaves to the gradient."""
        model = small.create("baseline", units=(3, 3, 3), remat=remat)
        variables = small.variables(model)
        images = np.zeros((1, 8, 32, 32, 3), np.float32)

        def forward(params):
            state = {**variables, "params": params}
            options = dict(train=True, method="interact", mutable=["batch_stats"])
            return model.apply(state, images, **options)[0][0]

        saved = jax.eval_shape(lambda p: jax.vjp(forward, p)[1], variables["params"])
        return sum(x.size for x in jax.tree.leaves(saved))

    assert kept(True) < 0.6 * kept(False)

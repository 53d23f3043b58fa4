"""What is counted: operations, compilations, reductions and images."""

import os
import types

import jax
import numpy as np
import pytest
import small

from qcs_jax import models
from qcs_jax.benchmark import programs as module
from qcs_jax.benchmark.decoding import bottleneck
from qcs_jax.benchmark.programs import (
    Program,
    compile_twice,
    empty_cache,
    programs_of,
)
from qcs_jax.benchmark.timing import Limits, speed
from qcs_jax.benchmark.training import Subject
from qcs_jax.config import base_config
from qcs_jax.train.run import create_optimizer, create_train_step
from qcs_jax.train.step import TrainState


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(models.SIZES, "tiny", small.SIZES)


def subject(name="qcs", batch=8, **fields):
    c = base_config()
    c.data.name, c.data.resize = "toy", 36
    c.model.name, c.model.size, c.train.batch_size = name, "tiny", batch
    c.update_from_flattened_dict(fields)
    return Subject(c, 3)


def abstract_programs(of, devices):
    optimizer = create_optimizer(of.config)
    step = create_train_step(of.config, of.model, optimizer, jax.devices()[:devices])
    state = jax.eval_shape(lambda: TrainState.create(of.shapes, optimizer))
    return programs_of(step, state, of.batch(devices), 1e-3)


def test_operations_double_with_the_batch_and_with_the_second_pass():
    one, two = (subject("dcs", batch).count() for batch in (4, 8))
    assert one.keys() == {"prepare", "gradient", "climb", "update"}
    for name in ("prepare", "gradient"):
        assert two[name] == pytest.approx(2 * one[name], rel=0.01)
    for name in ("climb", "update"):
        assert two[name] == one[name]
    without_climb = subject("dcs", **{"optimizer.rho": 0.0}).count()
    assert without_climb.keys() == {"prepare", "gradient", "update"}
    assert two["gradient"] == 2 * without_climb["gradient"]


def test_local_climbs_have_a_program_for_each_pass():
    programs = abstract_programs(subject("dcs", **{"optimizer.local_climb": True}), 2)
    names = [program.name for program in programs]
    assert names == ["prepare", "gradient", "climb", "second gradient", "update"]
    assert [program.calls for program in programs] == [1] * 5
    for program in programs:
        program.lower()


def test_the_count_of_a_matmul():
    x = jax.ShapeDtypeStruct((64, 64), np.float32)
    program = Program("product", jax.jit(lambda a, b: a @ b), (x, x), calls=3)
    assert program.flops() == 3 * 2 * 64**3


def test_programs_are_compiled_then_read_back_and_no_trace_is_left():
    before = jax.config.jax_compilation_cache_dir
    x = np.ones(8, np.float32)
    program = Program("sum", jax.jit(lambda x: np.float32(3.21) * x.sum()), (x,))
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    with empty_cache() as folder:
        compile_twice([program])
        assert len([x for x in os.listdir(folder) if x.endswith("-cache")]) == 1
        program.function(*program.args)  # what is run was not compiled once more
    jax.monitoring.clear_event_listeners()
    hits, misses = (
        events.count(f"/jax/compilation_cache/cache_{kind}")
        for kind in ("hits", "misses")
    )
    assert hits and misses == 1
    assert jax.config.jax_compilation_cache_dir == before
    assert not os.path.exists(folder)


def test_times_of_compilation_are_of_the_cold_and_of_the_cached_one(monkeypatch):
    clock, took = [0.0], iter([(1, 8), (2, 4)])

    class Slow:
        """A program that takes so long to trace and to compile."""

        def lower(self):
            trace, self.left = next(took)
            clock[0] += trace
            return self

        def compile(self):
            clock[0] += self.left

    fake = types.SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(module, "time", fake)
    assert compile_twice([Slow()])[0] == {"trace": 2, "cold": 8, "cached": 4}


@pytest.mark.parametrize("decoded, waited_for", [(500.0, "step"), (50.0, "input")])
def test_the_bottleneck_in_words(decoded, waited_for):
    sentence = bottleneck(decoded, 100.0, workers=0)
    start = f"The {waited_for} is the bottleneck: the input pipeline decodes"
    assert sentence.startswith(f"{start} {decoded:.0f} images/s, 5")
    assert ("Raise data.workers (it is 0)" in sentence) == (decoded < 100)


def test_speed_and_its_limits():
    expected = dict(steps=3, median=0.2, p10=0.12, p90=0.28, images=6)
    expected["images_per_second"] = 30
    assert speed([0.1, 0.2, 0.3], images=6) == pytest.approx(expected)
    long_ago = -1e9
    assert Limits(3, 1.0).reached(1, long_ago)
    assert not Limits(3, 1e12).reached(2, long_ago)
    assert Limits(3, 1e12).reached(3, long_ago)

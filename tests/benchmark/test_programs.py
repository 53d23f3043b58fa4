"""What is counted: operations, compilations, reductions and images."""

import math
import os
import re
import types

import jax
import numpy as np
import pytest
import small

from qcs_jax import models
from qcs_jax.benchmark import programs as module
from qcs_jax.benchmark import scaling
from qcs_jax.benchmark.decoding import bottleneck
from qcs_jax.benchmark.programs import (
    Compilation,
    Program,
    compile_twice,
    empty_cache,
    programs_of,
)
from qcs_jax.benchmark.timing import Limits, Speed
from qcs_jax.benchmark.training import Subject, _shape
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
    return programs_of(step, state, of.batch(devices, _shape), 1e-3)


def test_operations_double_with_the_batch():
    one, two = (subject("dcs", batch).count() for batch in (4, 8))
    assert one.keys() == {"prepare", "gradient", "climb", "update"}
    for name in ("prepare", "gradient"):
        assert two[name] == pytest.approx(2 * one[name], rel=0.01)
    for name in ("climb", "update"):
        assert two[name] == one[name]


def test_one_pass_without_a_climb():
    both, one = subject("dcs"), subject("dcs", **{"optimizer.rho": 0.0})
    both, one = both.count(), one.count()
    assert one.keys() == {"prepare", "gradient", "update"}
    assert both["gradient"] == 2 * one["gradient"]


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
    told, _ = compile_twice([Slow()])
    assert told == Compilation(trace=2, cold=8, cached=4)


@pytest.mark.parametrize("name", ["baseline", "dcs", "qcs"])
def test_reductions_are_those_of_the_program(name):
    """The oracle is the program: all that it reduces or gathers, in bytes."""
    of = subject(name)
    counted = scaling.reductions(of.model, of.shapes, passes=1)
    (gradient,) = (p for p in abstract_programs(of, 2) if p.name == "gradient")
    text = gradient.lower().as_text()
    # What is scattered has a part for each of the two devices.
    parts = {"all_reduce": 1, "all_gather": 1, "reduce_scatter": 2}
    reduced = sum(
        4 * math.prod(map(int, re.findall(r"(\d+)x", shape))) // part
        for kind, part in parts.items()
        for block in text.split(f'"stablehlo.{kind}"')[1:]
        for shape in re.search(r": \((tensor<[^)]*)\) ->", block)[1].split(", ")
    )
    n = of.model.branches  # the report: the loss, accuracies, base and cross terms
    report = 4 * (1 + n + n + (n if n > 1 else 0))
    assert sum(x.bytes for x in counted) == reduced - report


@pytest.mark.parametrize(
    "decoded, told",
    [
        (
            500.0,
            "The step is the bottleneck: the input pipeline decodes 500 images/s, 5",
        ),
        (
            50.0,
            "The input is the bottleneck: the input pipeline decodes 50 images/s, 5",
        ),
    ],
)
def test_the_bottleneck_in_words(decoded, told):
    sentence = bottleneck(decoded, 100.0, workers=0)
    assert sentence.startswith(told)
    assert ("Raise data.workers (it is 0)" in sentence) == (decoded < 100)


def test_speed_and_its_limits():
    speed = Speed.of([0.1, 0.2, 0.3], images=6)
    assert (speed.steps, speed.median) == (3, pytest.approx(0.2))
    assert speed.images_per_second == pytest.approx(30)
    assert (speed.p10, speed.p90) == pytest.approx((0.12, 0.28))
    long_ago = -1e9
    assert Limits(3, 1.0).reached(1, long_ago)
    assert not Limits(3, 1e12).reached(2, long_ago)
    assert Limits(3, 1e12).reached(3, long_ago)


def test_hours_are_operations_over_a_part_of_the_peak():
    hours = scaling.hours(1e12, 3600, "TPU v5e", "bfloat16")
    assert hours == pytest.approx(1 / (0.3 * 197))

"""The three numbers of a run, and a log that a killed process left."""

import json

from qcs_jax.evaluate import run_log
from qcs_jax.evaluate.run_log import Scores


def line(kind, epoch, accuracy):
    return {"kind": kind, "step": 10 * epoch, "epoch": epoch, "accuracy": accuracy}


TESTED = [line("test", e, a) for e, a in [(1, 0.4), (2, 0.7), (3, 0.6), (4, 0.5)]]
HELD_OUT = [line("held_out", e, a) for e, a in [(1, 0.3), (2, 0.8), (3, 0.8), (4, 0.4)]]


def test_each_number_is_of_its_epoch():
    scores = Scores.of(TESTED + HELD_OUT)
    # Chosen on held-out images, the last of equals; the number is the test's.
    assert scores.named() == {
        "last epoch": TESTED[3],
        "best epoch on held-out": TESTED[2],
        "best epoch on test (optimistic)": TESTED[1],
    }
    other_test = [dict(x, accuracy=1 - x["accuracy"]) for x in TESTED]
    assert Scores.of(other_test + HELD_OUT).best_on_held_out["epoch"] == 3


def test_nothing_is_called_held_out_where_nothing_was():
    scores = Scores.of(TESTED)
    assert scores.best_on_held_out is None
    assert [*scores.named().values()] == [TESTED[3], TESTED[1]]
    assert Scores.of([{"kind": "train", "step": 1, "loss": 2.0}]) is None
    assert Scores.of(HELD_OUT) is None


def test_half_a_line_is_left_out(tmp_path):
    text = json.dumps(TESTED[0]) + '\n{"kind": "te'
    (tmp_path / run_log.LOG_FILE).write_text(text)
    assert run_log.read_log(tmp_path) == [TESTED[0]]
    assert run_log.read_log(tmp_path / "nowhere") == []

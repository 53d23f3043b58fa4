"""What is said of accuracies on worse images."""

import pytest

from qcs_jax.evaluate import robustness

ACCURACY = {"noise": [0.8, 0.6], "shift": [0.4, 0.2]}


def test_summary_and_table():
    found = robustness.summary(ACCURACY, 0.9)
    assert found["accuracy"] == ACCURACY and found["clean"] == 0.9
    assert found["mean"] == pytest.approx(0.5)
    assert found["kept"] == pytest.approx(5 / 9)
    assert robustness.table(found).splitlines() == [
        "  corruption  severity 1  severity 2    mean",
        "  noise             80.0        60.0    70.0",
        "  shift             40.0        20.0    30.0",
        "  mean corruption accuracy 50.0, without corruption 90.0, 56% of it",
    ]


def test_of_nothing_nothing_is_kept():
    found = robustness.summary(ACCURACY, 0.0)
    assert found["kept"] is None
    assert robustness.table(found).endswith("without corruption 0.0")

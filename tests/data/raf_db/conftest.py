"""A small copy of RAF-DB, and counts that say it is whole."""

import pytest
import raf_db_tree
from qcs_jax.data.raf_db import raf_db_dataset_builder as listing


@pytest.fixture(autouse=True)
def small_published_set(monkeypatch):
    monkeypatch.setattr(listing.Builder, "published", raf_db_tree.COUNTS)


@pytest.fixture
def copy(tmp_path):
    root = tmp_path / "raf-db"
    raf_db_tree.write(root)
    return root

"""Makes the builders importable, which live in the checkout and are never installed."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "data"))

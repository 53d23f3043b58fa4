"""The Python that manuals show, for tests to run as readers would."""

import pathlib


def snippet(manual: pathlib.Path, heading: str) -> str:
    """The first Python block below a heading of a Markdown file."""
    _, below = manual.read_text("utf-8").split(f"## {heading}\n")
    return below.split("```python\n")[1].split("```\n")[0]

"""What manuals show, for tests to type and to run as readers would."""

import pathlib
import re
import shlex


def commands(manual: pathlib.Path, program: str) -> list[list[str]]:
    """Arguments of all calls of a program, "qcs-jax compare", in Bash blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", manual.read_text("utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    shown = [shlex.split(line, comments=True) for line in lines]
    calls = program.split()
    arguments = [x[len(calls) :] for x in shown if x[: len(calls)] == calls]
    assert arguments
    return arguments


def snippet(manual: pathlib.Path, heading: str) -> str:
    """The first Python block below a heading of a Markdown file."""
    _, below = manual.read_text("utf-8").split(f"## {heading}\n")
    return below.split("```python\n")[1].split("```\n")[0]

"""The commands that manuals show, for tests to type as readers would."""

import pathlib
import re
import shlex


def commands(manual: pathlib.Path, module: str = "") -> list[list[str]]:
    """Arguments of every `python -m ...` in the Bash blocks of a Markdown file.

    With a module, only of those that call it.
    """
    blocks = re.findall(r"```bash\n(.*?)```", manual.read_text("utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    assert found and all(words[:2] == ["python", "-m"] for words in found)
    return [words[3:] for words in found if module in ("", words[2])]

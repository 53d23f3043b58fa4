"""What the manual types, typed."""

import json
import pathlib
import shlex
import shutil
import subprocess

import manuals
import pytest
from service import PORTRAIT, Process, crop

from qcs_jax.serve import __main__ as command

MANUAL = pathlib.Path(command.__file__).with_name("README.md")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def served():
    process = Process()
    yield process
    process.process.kill()
    process.process.communicate()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PORTRAIT, "party.jpg")
    pathlib.Path("face.jpg").write_bytes(crop(0, "JPEG"))


def test_the_client(served, here, capsys):
    code = manuals.snippet(MANUAL, "A client")
    assert code.count("\n") == 11 and ADDRESS in code
    exec(code.replace(ADDRESS, served.address), {})
    [line] = capsys.readouterr().out.splitlines()
    assert line == "neutral [161.4, 126.8, 369.0, 334.4]"
    assert line.partition(" ")[0] in MANUAL.read_text("utf-8")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_calls_of_curl(served, here):
    calls = manuals.commands(MANUAL, "curl")
    counts = []
    for words in calls:
        line = shlex.join(["curl", "--silent", *words])
        line = line.replace(ADDRESS, served.address)
        done = subprocess.run(shlex.split(line), capture_output=True, check=True)
        counts.append([answer["error"] for answer in json.loads(done.stdout)])
    assert counts == [[None], [None, None]]


@pytest.mark.skipif(not shutil.which("ab"), reason="ab is not installed")
def test_the_load(served, here):
    [words] = manuals.commands(MANUAL, "ab")
    few = {"200": "4", "32": "2"}
    words = [few.get(x, x.replace(ADDRESS, served.address)) for x in words]
    done = subprocess.run(["ab", *words], capture_output=True, check=True, text=True)
    assert "Complete requests:      4\n" in done.stdout
    assert "Non-2xx" not in done.stdout


def test_the_flags_and_their_defaults(monkeypatch):
    asked = []
    monkeypatch.setattr(command, "_serve", asked.append)
    assert command.main([]) == 0
    text = MANUAL.read_text("utf-8").split("## Flags")[1].split("## Batches")[0]
    for name, value in vars(asked[0]).items():
        flag = f"--{name.replace('_', '-')}"
        assert f"`{flag}" in text
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = "N" if name == "workers" else f"{value:g}"
            assert f"`{flag}={shown}`" in text

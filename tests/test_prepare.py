"""Preparation as a command of the package, from any folder."""

import os
import subprocess
import sys

import pytest

from qcs_jax.system import files

SCRIPT = str(files.packaged("data") / "prepare.py")


@pytest.mark.parametrize(
    "program", [["-m", "qcs_jax", "prepare"], [SCRIPT]], ids=["module", "script"]
)
def test_from_another_folder_with_files_of_the_same_names(program, tmp_path):
    for name in ("prepare.py", "generation.py", "fer2013.py"):
        (tmp_path / name).write_text("raise SystemExit('not this file')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *program, *arguments, f"--data_dir={tmp_path}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    ended = run("raf_db")
    assert ended.returncode == 1 and ended.stderr.startswith("error: ")
    assert ended.stderr.count("error") == 1 and "--manual_dir" in ended.stderr
    ended = run("--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: qcs-jax prepare ")


def test_the_script_names_the_extra_it_needs(tmp_path):
    code = "import runpy, sys; sys.modules['tensorflow_datasets'] = None; "
    code += f"runpy.run_path({SCRIPT!r}, run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(
        "error: training, its checkpoints and data sets need"
    )

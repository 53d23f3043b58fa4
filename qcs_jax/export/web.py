"""A static folder that recognises faces in a browser: no server, nothing is sent.

`page/` has its HTML, style and scripts; onnxruntime-web, of npm, runs the networks.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from qcs_jax.checkpoint import Trained
from qcs_jax.export import onnx
from qcs_jax.export.served import Served
from qcs_jax.predict.align import TEMPLATE
from qcs_jax.predict.detector import MODEL as DETECTOR
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json

PAGE = pathlib.Path(__file__).parent / "page"
PACKAGE, VERSION = "onnxruntime-web", "1.30.0"

# Of the package: what runs without threads, which need headers that a static host
# seldom sends.
_RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)

load = onnx.load


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes the page, the network, the face detector and their runtime.

    The runtime is copied from the folder of the npm package `PACKAGE`; without one, the
    npm client fetches it.
    """
    trained = served.trained
    (folder / "runtime").mkdir()
    if served.runtime:
        _copy_runtime(served.runtime, folder / "runtime")
    else:
        _fetch_runtime(folder / "runtime")
    onnx.write(served, folder)
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    shutil.copyfile(DETECTOR, folder / DETECTOR.name)
    about = {  # what the page has to know about the network
        "name": served.name,
        "class_names": list(trained.class_names),
        "resize": trained.resize,
        "image_size": served.model.image_size,
        "landmarks": trained.landmarks or TEMPLATE.tolist(),
        "drawn": trained.drawn,
        "about": _sentence(trained),
    }
    write_json(folder / "model.json", about)


def _sentence(trained: Trained) -> str:
    config = trained.config
    network = f"{config.model.size} {config.model.name}, trained on {config.data.name}"
    if not (evaluation := trained.evaluation):
        return f"{network}; how good it is was not measured"
    low, high = (100 * x for x in evaluation["intervals"]["accuracy"])
    return (
        f"{network}; right about {100 * evaluation['metrics']['accuracy']:.1f} % of "
        f"{evaluation['examples']:,} images that it was tested on (95 %: {low:.1f} to "
        f"{high:.1f})"
    )


def _fetch_runtime(folder: pathlib.Path) -> None:
    """Copies the runtime from where npm's client puts it."""
    needs, remedy = f"{PACKAGE} {VERSION} of npm", "give --runtime=FOLDER, unpacked"
    if not (npm := shutil.which("npm")):
        raise UserError(f"the page needs {needs}: install npm, or {remedy}")
    with tempfile.TemporaryDirectory() as scratch:
        argv = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(argv, cwd=scratch, capture_output=True, errors="replace")
        archives = list(pathlib.Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            problem = done.stderr.strip().partition("\n")[0] or "no reason given"
            raise UserError(f"there is no {needs} ({problem}): {remedy}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        _copy_runtime(pathlib.Path(scratch) / "package", folder)


def _copy_runtime(package: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies `_RUNTIME` from an unpacked package."""
    about = package / "package.json"
    if not about.is_file() or f'"version": "{VERSION}"' not in about.read_text("utf-8"):
        raise UserError(f"{package} is not {PACKAGE} {VERSION} as npm has it")
    for name in _RUNTIME:
        shutil.copyfile(package / "dist" / name, folder / name)

"""A static folder that recognises faces in a browser: no server, nothing is sent.

`page/` has its HTML, style and scripts; onnxruntime-web, of npm, runs the networks.
"""

from __future__ import annotations

import contextlib
import json
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


def write(
    served: Served,
    folder: pathlib.Path,
    *,
    trained: Trained,
    name: str,
    runtime: pathlib.Path | None = None,
    quantize: str = "none",
) -> None:
    """Writes the page, the network, the face detector and their runtime.

    Args:
      served: The base branch, with preprocessing.
      folder: An existing folder.
      trained: Where it is from.
      name: What the page calls it.
      runtime: Folder of the npm package `PACKAGE`, or of its `dist`; default: the npm
        client fetches it.
      quantize: See `onnx.write`; "none" or "float16".

    Raises:
      UserError: if a package is not installed, or the runtime cannot be had.
    """
    onnx.check_installed()
    _copy_runtime(folder / "runtime", runtime)
    onnx.write(served, folder, quantize=quantize)
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    shutil.copyfile(DETECTOR, folder / DETECTOR.name)
    write_json(folder / "model.json", _about(served, trained, name))


def _about(served: Served, trained: Trained, name: str) -> dict:
    """What the page has to know about the network."""
    return {
        "name": name,
        "class_names": list(served.class_names),
        "resize": served.resize,
        "image_size": served.model.image_size,
        "landmarks": trained.landmarks or TEMPLATE.tolist(),
        "drawn": trained.drawn,
        "about": _sentence(trained),
    }


def _sentence(trained: Trained) -> str:
    config = trained.config
    told = f"{config.model.size} {config.model.name}, trained on {config.data.name}"
    if not (found := trained.evaluation):
        return f"{told}; how good it is was not measured"
    low, high = (100 * x for x in found["intervals"]["accuracy"])
    return (
        f"{told}; right about {100 * found['metrics']['accuracy']:.1f} % of "
        f"{found['examples']:,} images that it was tested on (95 %: {low:.1f} to "
        f"{high:.1f})"
    )


def _copy_runtime(folder: pathlib.Path, given: pathlib.Path | None) -> None:
    """Copies the runtime from a folder, or lets npm fetch it."""
    folder.mkdir()
    if given is not None:
        return _copy(given, folder)
    if not (npm := shutil.which("npm")):
        raise UserError(
            f"the page needs {PACKAGE} {VERSION} of npm: install npm, or give "
            f"--runtime=FOLDER with the unpacked package"
        )
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        archives = list(pathlib.Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            problem = done.stderr.strip().partition("\n")[0] or "no reason given"
            raise UserError(
                f"npm cannot fetch {PACKAGE} {VERSION} ({problem}): give "
                f"--runtime=FOLDER with the unpacked package"
            )
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        _copy(pathlib.Path(scratch) / "package", folder)


def _copy(package: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies `_RUNTIME` from an unpacked package, or from its `dist`."""
    said = package / "package.json"
    if said.is_file():
        version = None
        with contextlib.suppress(ValueError, AttributeError):  # no such JSON
            version = json.loads(said.read_text("utf-8")).get("version")
        if version != VERSION:
            raise UserError(
                f"{package} is version {version}: the page is made for {PACKAGE} "
                f"{VERSION}"
            )
        package = package / "dist"
    for name in _RUNTIME:
        if not (package / name).is_file():
            raise UserError(
                f"{package} has no {name}: give the folder of the npm package "
                f"{PACKAGE} {VERSION}"
            )
        shutil.copyfile(package / name, folder / name)

"""Executes notebooks in a kernel of their own; as a command, writes their outputs.

python tests/support/execute_notebooks.py                # all of notebooks/
python tests/support/execute_notebooks.py NOTEBOOK ...
"""

import os
import pathlib
import sys
import tempfile

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"

# Of the tests, not of the people who open a notebook; MPLBACKEND would hide figures.
_DROPPED = ("JAX_NUMPY_RANK_PROMOTION", "JAX_NUMPY_DTYPE_PROMOTION", "MPLBACKEND")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_METADATA = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}


def execute(notebook: NotebookNode, folder: pathlib.Path) -> None:
    """Runs all cells in a new kernel, started in `folder`; puts their outputs in."""
    with tempfile.TemporaryDirectory() as settings:
        # Files as sockets; over TCP the kernel warns that others may listen.
        sockets = {"transport": "ipc", "ip": f"{settings}/kernel"}
        client = NotebookClient(
            notebook,
            timeout=600,  # seconds for a cell
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            coalesce_streams=True,
            config=Config({"KernelManager": sockets}),
        )
        client.execute(env=environment(settings))


def environment(settings: str) -> dict[str, str]:
    """Of a user who forces nothing, and whose settings of Jupyter are in a folder."""
    kept = {name: x for name, x in os.environ.items() if name not in _DROPPED}
    flags = kept.pop("XLA_FLAGS", "").split()
    flags = [f for f in flags if "host_platform_device_count" not in f]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **kept,
        "XLA_FLAGS": " ".join(flags),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "IPYTHONDIR": settings,
        "JUPYTER_CONFIG_DIR": settings,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # of the debugger, on Python 3.12
    }


def tidy(notebook: NotebookNode) -> None:
    """Removes what differs from one execution, or one editor, to the next."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = {}
                if "image/png" in output.data:  # says "<Figure size ...>" beside it
                    output.data.pop("text/plain", None)


def main(names: list[str]) -> None:
    """Executes notebooks in place."""
    for path in map(pathlib.Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        print(path)
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.resolve().parent)
        tidy(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])

"""All commands under one name.

qcs-jax predict photo.jpg
qcs-jax train --config=raf
"""

from __future__ import annotations

import importlib
import sys

from qcs_jax import __version__
from qcs_jax.system import command

# Name -> module, and what its command does.
COMMANDS = {
    "predict": ("predict.__main__", "find the faces in photographs, and classify them"),
    "video": ("predict.video_command", "the same for a video or a camera"),
    "explain": ("predict.explain_command", "draw what a face shares with other faces"),
    "prepare": ("input.prepare", "prepare a data set for training"),
    "train": ("main", "train a configuration, or go on with a run"),
    "evaluate": ("main", "evaluate a run, and write the page about it"),
    "report": ("figures.command", "write the page about a run again"),
    "visualize": ("figures.command", "draw the paper's figures of a run"),
    "experiment": ("experiment.__main__", "train a whole table over seeds"),
    "compare": ("evaluate.compare_command", "compare runs over seeds, or two networks"),
    "transfer": (
        "experiment.transfer.command",
        "test networks on the data sets of others",
    ),
    "convert": ("convert.__main__", "PyTorch checkpoints and files of weights"),
    "export": ("export.__main__", "ONNX, TensorFlow, web pages, the Hub and others"),
    "serve": ("serve.__main__", "find and classify faces for others, over HTTP"),
    "benchmark": ("benchmark.__main__", "measure time and memory on this machine"),
}
# For modules with several commands, which one is meant.
MODES = {"train": ("train",), "evaluate": ("eval",), "report": ("report",)}


def main(argv: list[str] | None = None) -> int:
    """Runs the command that the first argument names; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    name, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if name in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    if name == "--version":
        print(f"qcs-jax {__version__}")
        return 0
    if name not in COMMANDS:
        message = f"error: there is no command {name}: choose one of "
        print(message + ", ".join(COMMANDS), file=sys.stderr)
        return 2
    module = importlib.import_module(f"qcs_jax.{COMMANDS[name][0]}")
    return module.main(rest, *MODES.get(name, ()))


def entry() -> None:
    """Runs the console command, and exits with its status."""
    command.start(main)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: qcs-jax COMMAND ...",
            "",
            "Facial expression recognition with Quadruplet Cross Similarity.",
            "",
            *lines,
            "",
            "qcs-jax COMMAND --help tells more.",
        ]
    )


if __name__ == "__main__":
    entry()

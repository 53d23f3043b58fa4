"""Wrong command lines: each gets one clear answer, and nothing begins."""

import io
import shlex

import pytest
from PIL import Image

from qcs_jax import __main__ as program

# What is typed behind "qcs-jax", and what the answer must say.
WRONG = {
    # Commands.
    "predictt x.jpg": "there is no command predictt",
    # What is needed, what is too much.
    "train": "the following arguments are required: --config",
    "predict": "the following arguments are required: IMAGE",
    "export": "the following arguments are required: --checkpoint",
    "train --config=demo config.train.epochs=3": "unknown argument config.train",
    "train --config=demo --mode=eval": "flag 'mode'",
    "video a.mp4 b.mp4": "unrecognized arguments: b.mp4",
    "predict face.png -checkpoint=run": "-checkpoint",
    # Recipes and variants.
    "train --config=nothing": "there is no recipe nothing",
    "train --config=raf:qcs,dcs": "no variant 'qcs,dcs'",
    "train --config=raf:dcs,finetune": "the paper fine-tunes qcs alone",
    "train --config=face.png": "--config=face.png",
    "train --config=broken.py": "--config=broken.py: SyntaxError",
    "train --config=empty.py": "this file defines no get_config()",
    "train --config=number.py": "get_config() returns 3, not a configuration",
    # Fields.
    "train --config=demo --config.train.epoch=3": 'mean "epochs" instead of "epoch"',
    "train --config=demo --config.epochs=3": "no field 'epochs'",
    "train --config=demo --config.train=3": "is not a dict",
    "train --config=demo --config.train.epochs=1.5": "invalid literal for int",
    "train --config=demo --config.train.epochs=0": "train.epochs=0: give 1 to",
    "train --config=demo --config.optimizer.learning_rate=nan": "learning_rate=nan",
    "train --config=demo --config.model.interaction=sdpa": "needs two branches",
    "train --config=demo --config.augment.erase_area=(0.5,0.1)": "give 0 < low <= high",
    "train --config=demo --config.data.resize=8": "give at least 48",
    "train --config=demo --config.data.extra=faces": "write DATASET:CLASS",
    # Data sets, runs and files that are not there.
    "train --config=demo": "qcs-jax prepare synthetic_faces",
    "train --config=folder": "data set 'image_folder' is not prepared in",
    "train --config=demo --config.data.name=/": "give a name, DATASET or",
    "train --config=demo --config.data.name=../x": "give a name, DATASET or",
    "evaluate --config=demo": "runs/demo: give the workdir",
    "evaluate --config=demo --groups=": "--groups= names no file",
    "evaluate --config=demo --groups=a.csv": "--groups=a.csv: No such file",
    "predict nothing.jpg": "nothing.jpg: No such file",
    "predict face.png --checkpoint=nothing": "nothing: give the workdir",
    "predict face.png --detector=nothing.onnx": "no face detector nothing.onnx",
    "predict https://host/a.png?size=3": "this is a URL, and nothing is downloaded",
    "video nothing.mp4": "nothing.mp4",
    "video face.png --every=0": "--every",
    "serve --port=70000": "'70000': give a number from 0 to 65535",
    "serve --host=0.0.0.0": "--host=0.0.0.0 lets others in: give --token-file",
    "serve --page=hollow": "--page=hollow has no index.html",
    "serve --token-file=nothing": "--token-file=nothing: No such file",
    "serve --port=0 --checkpoint=nothing": "nothing: give the workdir",
    "serve --port=0 --detector=nothing.onnx": "no face detector nothing.onnx",
    "report hollow": "hollow has no evaluation",
    "visualize --checkpoint=hollow --figures=nine": "no figure 'nine'",
    "experiment --config=demo --table=9 --seeds=0 --workdir=w": "--table=9: No such",
    "compare hollow": "no runs in hollow",
    "transfer fer2013 --data=nothing": "and not one that qcs-jax prepare makes: syn",
    "transfer fer2013 --data=a --labels=b:joy=fear": "b is none of the data sets",
    "convert nothing.pth --out=o": "there is no such file",
    "convert face.png --out=o": "no PyTorch checkpoint",
    "convert empty.py --to-torch --resize=56 --out=o": "for .pth files alone",
    "export --checkpoint=hollow --format=safetensors --out=face.png": "is not a folder",
    "export --checkpoint=fer2013 --format=hub --images=x --out=o": "x is not",
    "benchmark --config=demo --steps=0": "--steps: '0': give a number, 1 or more",
    # Several processes.
    "train --config=demo --process=0": "belong together",
    "train --config=demo --coordinator=h --processes=2 --process=0": "give HOST:PORT",
    "train --config=demo --coordinator=h:1 --processes=2 --process=2": "from 0 to 1",
    "train --config=demo --patience=5": "add --multihost",
    "train --config=demo --multihost --patience=0": "give 1 or more seconds",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with an image, an empty folder, and recipes that are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    Image.new("RGB", (48, 48)).save("face.png")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "broken.py").write_text("def get_config(:")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "number.py").write_text("def get_config(): return 3")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    yield tmp_path


@pytest.mark.parametrize("line", WRONG)
def test_one_clear_answer(line, here, capsys):
    before = sorted(here.rglob("*"))
    try:
        status = program.main(shlex.split(line))
    except SystemExit as exit:  # as argparse ends
        status = exit.code
    out, err = capsys.readouterr()
    assert status in (1, 2)
    assert err.count("error:") == 1 and "Traceback" not in err, err
    assert WRONG[line] in err[err.index("error:") :]  # not in the usage before it
    assert sorted(here.rglob("*")) == before, "something was begun"
    assert not out

"""`qcs-jax convert`."""

import os
import shlex

import face_arrays
import jax
import numpy as np
import pytest
import small
from PIL import Image

import qcs_jax
from qcs_jax import checkpoint, convert, models
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import base_config, validate
from qcs_jax.config import flags as command_line
from qcs_jax.convert import __main__ as command
from qcs_jax.convert import faces, reader
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.images.augment import preprocess
from qcs_jax.system.errors import UserError
from qcs_jax.train.sam import SAM, adam
from qcs_jax.train.step import TrainState

RAF_DB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
AFFECTNET = (*"neutral happiness sadness surprise fear disgust anger contempt".split(),)


def tiny(name="qcs", **options):
    return models.create(name, "tiny", **options)


def write_pth(path, model, prefix="module."):
    variables = small.variables(model)
    state_dict = convert.to_torch(variables)
    save_pth(path, {prefix + key: x for key, x in state_dict.items()})
    return variables


def run(capsys, *argv):
    """Exit status, standard output, standard error."""
    status = command.main([str(a) for a in argv])
    return status, *capsys.readouterr()


def test_converted_checkpoint_loads_and_predicts(tmp_path, capsys):
    model = tiny()
    variables = write_pth(tmp_path / "x.pth", model)
    out = tmp_path / "new" / "out"
    status, output, _ = run(capsys, tmp_path / "x.pth", f"--out={out}")
    assert status == 0
    assert "recognised qcs, tiny size, 7 classes" in output
    assert f"{models.count(variables):,} parameters" in output
    restored, description, step = checkpoint.load_variables(out)
    assert step == 0
    small.assert_equal(restored, variables)
    classifier = qcs_jax.load(out)
    assert classifier.class_names == RAF_DB
    images = small.images(2, 48, 48, 3)
    expected = jax.jit(model.apply)(variables, images)  # about 30
    np.testing.assert_allclose(classifier.logits(images), expected, rtol=2e-5)
    assert os.listdir(out.parent) == ["out"]
    # As --workdir it is resumed at step 0, with a fresh optimizer.
    fresh = TrainState.create(small.variables(model, 1), SAM(adam()))
    train = {"step": fresh.step, "opt_state": fresh.opt_state}
    with Checkpoints(out, keep=1, metric="accuracy") as checkpoints:
        items, _ = checkpoints.restore({**fresh.variables, "train": train}, description)
    small.assert_equal(items["params"], variables["params"])
    jax.tree.map(np.testing.assert_array_equal, items["train"], train)


OWN = ["--residual=normalized", "--resize=56", "--class_names=a,b,c,d,e,f,g,h h"]


@pytest.mark.parametrize(
    "flags, class_names, residual, resize",
    [
        ([], AFFECTNET, "pre_norm", 48),
        (OWN, (*"abcdefg", "h h"), "normalized", 56),
    ],
)
def test_assumptions_flags_and_how_to_train(
    tmp_path, capsys, flags, class_names, residual, resize
):
    write_pth(tmp_path / "x.pth", tiny("dcs", num_classes=8))
    out = tmp_path / "my run"
    status, output, warned = run(capsys, tmp_path / "x.pth", f"--out={out}", *flags)
    assert status == 0
    description = checkpoint.load_variables(out)[1]
    assert description["config"]["model"]["residual"] == residual
    how = "as given" if flags else "as published"
    assert f"residual   {residual} ({how}" in output
    assert tuple(description["class_names"]) == class_names
    assert ("--class_names" in warned) == (not flags)
    assert description["preprocessing"] == {"resize": resize, "crop": 48}

    # What it says about training can be pasted.
    words = shlex.split(output.rpartition("to train from it:")[2])
    config = command_line.read_config("raf", words)
    assert (config.model.name, config.model.size) == ("dcs", "tiny")
    assert (config.model.residual, config.data.resize) == (residual, resize)
    assert config.init_from == str(out)
    validate(config)


@pytest.mark.parametrize("name, alone", [("qcs", True), ("baseline", False)])
def test_a_base_branch_alone_says_so(tmp_path, capsys, name, alone):
    model = tiny(name)
    base = {kind: {"base": x["base"]} for kind, x in small.variables(model).items()}
    config = base_config()
    config.model.update({"name": name, "size": "tiny"})
    description = describe(config, RAF_DB, model.image_size) | {"step": 1}
    file, out = tmp_path / "x.safetensors", tmp_path / "new" / "x.pth"
    checkpoint.weights.save(file, base, description)
    status, output, _ = run(capsys, file, "--to-torch", f"--out={out}")
    assert status == 0 and out.exists()
    assert ("it is the base branch alone" in output) == alone
    assert ("weights_only=True), strict=False)" in output) == alone


@pytest.mark.parametrize(
    "content, flags, words",
    [
        (tiny(num_classes=5), [], "--class_names: give 5 different names"),
        (tiny(), ["--class_names=a,b,c,d,e,f,f"], "give 7 different names"),
        (tiny(), ["--resize=47"], "--resize=47: give 48 to 4096"),
        (tiny(), ["--resize=5000"], "--resize=5000: give 48 to 4096"),
        (small.create("qcs"), [], "sizes are full, medium, small, tiny"),
        ("ir_back.", [], "alone, which cannot predict. Training starts from"),
        ("conv1.", [], "{path}: this state_dict is not of QCS"),
    ],
)
def test_unusable_checkpoints_and_flags(tmp_path, capsys, content, flags, words):
    path = tmp_path / "x.pth"
    if isinstance(content, str):  # a part of a network
        weights = convert.to_torch(small.variables(tiny()))
        save_pth(path, {k: x for k, x in weights.items() if k.startswith(content)})
    else:
        write_pth(path, content)
    status, _, error = run(capsys, path, f"--out={tmp_path / 'out'}", *flags)
    assert status == 1
    assert words.format(path=path) in error
    assert os.listdir(tmp_path) == ["x.pth"]


def test_only_earlier_conversions_are_overwritten(tmp_path, capsys):
    variables = write_pth(tmp_path / "x.pth", tiny("baseline"))
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is free
    argv = [tmp_path / "x.pth", f"--out={out}"]
    assert run(capsys, *argv)[0] == 0
    status, _, error = run(capsys, *argv)
    assert status == 1 and "--overwrite" in error
    assert run(capsys, *argv, "--overwrite", "--resize=60")[0] == 0
    restored, description, _ = checkpoint.load_variables(out)
    small.assert_equal(restored, variables)
    assert description["preprocessing"]["resize"] == 60
    assert {*os.listdir(tmp_path)} == {"out", "x.pth"}

    (out / "log.jsonl").touch()  # now it is the folder of a run
    status, _, error = run(capsys, *argv, "--overwrite")
    assert status == 1 and "no earlier conversion" in error
    (out / "log.jsonl").unlink()
    (out / "checkpoints" / "1").mkdir()
    assert run(capsys, *argv, "--overwrite")[0] == 1
    assert run(capsys, argv[0], f"--out={argv[0]}", "--overwrite")[0] == 1
    assert argv[0].is_file()


def test_nothing_is_left_of_a_failure(tmp_path, capsys, monkeypatch):
    variables = write_pth(tmp_path / "x.pth", tiny("baseline"))
    out, pth = tmp_path / "out", tmp_path / "y.pth"
    assert run(capsys, tmp_path / "x.pth", f"--out={out}")[0] == 0
    assert run(capsys, out, "--to-torch", f"--out={pth}")[0] == 0
    before = pth.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Checkpoints, "_wait", fail)
    monkeypatch.setattr("zipfile.ZipFile.writestr", fail)
    for argv in (
        [tmp_path / "x.pth", f"--out={out}"],
        [out, "--to-torch", f"--out={pth}"],
        [out, "--to-torch", f"--out={tmp_path / 'a' / 'b' / 'z.pth'}"],
    ):
        status, _, error = run(capsys, *argv, "--overwrite")
        assert status == 1 and "disk full" in error
    assert {*os.listdir(tmp_path)} == {"out", "x.pth", "y.pth"}
    small.assert_equal(checkpoint.load_variables(out)[0], variables)
    assert pth.read_bytes() == before


def test_to_torch_and_back(tmp_path, capsys):
    variables = write_pth(tmp_path / "x.pth", tiny("dcs", num_classes=8))
    assert run(capsys, tmp_path / "x.pth", f"--out={tmp_path / 'run'}")[0] == 0
    pth = tmp_path / "new" / "y.pth"
    status, output, _ = run(capsys, tmp_path / "run", "--to-torch", f"--out={pth}")
    assert status == 0
    assert "dcs, tiny size, 8 classes" in output
    assert "size is 'tiny', the published code has 'full'" in output
    assert output.count("  note ") == 1  # pre_norm is what the published code has
    assert "weights_only=True" in output
    small.assert_equal(convert.read_pth(pth).variables, variables)
    for source, out, words in (
        (tmp_path / "run", pth, "--overwrite"),
        (tmp_path / "x.pth", "z.pth", "no checkpoint at"),
        (tmp_path / "run", tmp_path, "is a folder"),
        ("fer2013", "z.pth", "of size medium, whose backbone the published code does"),
    ):
        status, _, error = run(capsys, source, "--to-torch", f"--out={out}")
        assert status == 1 and words in error


def test_pth_writer(tmp_path):
    matrix, counter = small.images(2, 3), np.array(2**40)
    empty = np.zeros((0, 3), np.float32)
    arrays = {"matrix": matrix, "\u00e9": matrix.T, "counter": counter, "empty": empty}
    save_pth(tmp_path / "x.pth", arrays)
    small.assert_equal(reader.load_pth(tmp_path / "x.pth"), arrays)
    data = (tmp_path / "x.pth").read_bytes()
    assert data.index(matrix.tobytes()) % 64 == data.index(counter.tobytes()) % 64 == 0


def test_face_recognition_network_becomes_a_file_to_start_from(tmp_path, capsys):
    manifest, out = face_arrays.write(tmp_path), tmp_path / "faces.safetensors"
    (tmp_path / "faces" / "glad").mkdir(parents=True)
    pixels = small.pixels(3, 104, 104, 3)
    for i, x in enumerate(pixels):
        Image.fromarray(x).save(tmp_path / "faces" / "glad" / f"{i}.png")
    given = manifest, f"--images={tmp_path / 'faces'}", f"--out={out}"
    status, output, error = run(capsys, *given)
    assert (status, error) == (0, "")
    assert f"measured on 3 images of {tmp_path / 'faces'}" in output
    assert f"--config.init_from={out} --config.model.size=medium" in output
    read, description, step = checkpoint.load_variables(out)
    arrays, seen = faces.read_manifest(manifest), preprocess(pixels, 104)
    expected = small.flat(faces.backbone_of(arrays, np.asarray(seen)))
    assert small.flat(read).keys() == expected.keys()
    for name, x in small.flat(read).items():
        atol = np.abs(expected[name]).max() / 200  # kernels are stored in 8 bits
        np.testing.assert_allclose(x, expected[name], rtol=0, atol=atol)
    assert step == 0 and description["config"]["model"]["size"] == "medium"
    with pytest.raises(
        UserError, match="faces is a backbone alone.*--config.init_from"
    ):
        qcs_jax.load(out)

    status, _, error = run(capsys, *given)
    assert status == 1 and "exists: give another --out or --overwrite" in error
    status, _, error = run(capsys, *given[:2], f"--out={tmp_path / 'x'}")
    assert status == 1 and "give a name that ends in .safetensors" in error
    status, _, error = run(capsys, *given, "--resize=103", "--overwrite")
    assert status == 1 and "--resize=103: give 104 to 4096" in error
    nothing = f"--images={tmp_path / 'nothing'}"
    status, _, error = run(capsys, manifest, nothing, given[2], "--overwrite")
    assert status == 1 and "nothing has no images" in error
    (tmp_path / "faces" / "glad" / "0.png").write_bytes(b"no image")
    status, _, error = run(capsys, *given, "--overwrite")
    assert status == 1 and "0.png: not an image of a known format" in error
    for wrong in ([manifest, given[2]], [*given, "--to-torch"]):
        with pytest.raises(SystemExit):
            run(capsys, *wrong)

"""Checkpoints that torch wrote, and torch reading what is written here."""

import collections
import sys

import jax
import numpy as np
import published
import pytest

import qcs_jax
from qcs_jax import checkpoint, convert, models
from qcs_jax.convert import __main__ as command
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.export import __main__ as export
from qcs_jax.export import check

torch = pytest.importorskip("torch", reason="checks against PyTorch: pip install torch")


class RecorderMeter:
    """Stands for the object of the training script that its checkpoints hold."""

    def __init__(self):
        self.epoch_losses = np.zeros((3, 2), np.float32)


def test_published_checkpoint_predicts_the_golden_logits(tmp_path, monkeypatch, capsys):
    """As does the file of weights, which torch reads, too: names and bits are the same.

    The file is as the training script writes it: data-parallel names, and recorders.
    """
    state_dict, golden = published.state_dict("qcs_7"), published.read("qcs_7")
    tensors = collections.OrderedDict(
        (f"module.{key}", torch.from_numpy(np.asarray(array)))
        for key, array in state_dict.items()
    )
    main = sys.modules["__main__"]
    monkeypatch.setattr(RecorderMeter, "__module__", "__main__")
    monkeypatch.setattr(main, "RecorderMeter", RecorderMeter, raising=False)
    recorders = {"recorder": RecorderMeter(), "recorder1": RecorderMeter()}
    best = {"epoch": 7, "state_dict": tensors, "best_acc": torch.tensor(92.5)}
    torch.save({**best, **recorders}, tmp_path / "model_best.pth")
    run, out = tmp_path / "run", tmp_path / "out"
    assert command.main([str(tmp_path / "model_best.pth"), f"--out={run}"]) == 0
    output = capsys.readouterr().out
    assert "qcs, published size, 7 classes" in output
    assert "66,810,513 parameters, 40,700,039 of the base branch" in output
    assert "79 arrays, 16,063,606 parameters" in output
    monkeypatch.setattr(check, "BATCHES", (1,))
    argv = [f"--checkpoint={run}", "--format=safetensors", "--whole", f"--out={out}"]
    assert export.main(argv) == 0
    safetensors_torch = pytest.importorskip("safetensors.torch")
    exported = safetensors_torch.load_file(out / "model.safetensors")
    assert exported.keys() < state_dict.keys()
    for key, tensor in exported.items():
        np.testing.assert_array_equal(tensor.numpy(), state_dict[key])

    branches, _ = published.batch(golden["seed"], 0, golden["branches"], 7)
    images, expected = branches.reshape(-1, 224, 224, 3), golden["eval_base_logits"]
    for path in (run, out):
        logits = qcs_jax.load(path).logits(images)
        np.testing.assert_allclose(logits, expected, atol=2e-5)
    variables, _, _ = checkpoint.load_variables(run)
    interact = jax.jit(lambda v, x: models.create("qcs").apply(v, x, method="interact"))
    both = np.concatenate(interact(variables, branches))
    np.testing.assert_allclose(both, golden["eval_all_logits"], atol=2e-5)


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_torch_loads_what_is_written(tmp_path, options):
    layout = published.read("layout_dcs_8")
    variables = convert.from_torch(published.state_dict("dcs_8"))
    state_dict = convert.to_torch(variables)
    save_pth(tmp_path / "x.pth", state_dict)
    loaded = torch.load(tmp_path / "x.pth", weights_only=True, **options)
    assert type(loaded) is collections.OrderedDict
    assert {key: list(tensor.shape) for key, tensor in loaded.items()} == layout
    for key, tensor in loaded.items():
        assert tensor.is_contiguous() and not tensor.requires_grad
        assert tensor.data_ptr() % 64 == 0
        assert tensor.dtype == torch.from_numpy(state_dict[key]).dtype
        np.testing.assert_array_equal(tensor.numpy(), state_dict[key])

"""face-api's files are read; tests/models/test_resnet29.py has what they compute."""

import face_arrays
import numpy as np
import pytest
import small

from qcs_jax.convert import faces
from qcs_jax.system.errors import UserError


def test_a_manifest_is_read_within_half_a_step_of_its_bytes(tmp_path):
    read = faces.read_manifest(face_arrays.write(tmp_path))
    assert read.keys() == face_arrays.arrays().keys()
    for name, expected in face_arrays.arrays().items():
        assert read[name].dtype == np.float32
        atol = 0.51 * np.ptp(expected) / 255
        np.testing.assert_allclose(read[name], expected, rtol=0, atol=atol)


def test_what_is_not_there_is_named(tmp_path):
    arrays = face_arrays.arrays()
    some = {k: v for k, v in arrays.items() if k != "conv64_2/conv1/conv/bias"}
    with pytest.raises(UserError, match="'conv64_2/conv1/conv/bias' is missing"):
        faces.backbone_of(some, small.images(1, 104, 104, 3))
    path = face_arrays.write(tmp_path)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(UserError, match="b.bin: No such file"):
        faces.read_manifest(path)


@pytest.mark.parametrize("damage", ["shorter", "longer", "no JSON", "another JSON"])
def test_damaged_files(tmp_path, damage):
    path, data = face_arrays.write(tmp_path), tmp_path / "b.bin"
    whole = data.read_bytes()
    if damage in ("shorter", "longer"):
        data.write_bytes(whole[:-1] if damage == "shorter" else whole + b"\0")
    else:
        path.write_text("{" if damage == "no JSON" else '[{"weights": 3}]')
    with pytest.raises(UserError, match="is no whole manifest of TensorFlow.js"):
        faces.read_manifest(path)

"""Random arrays with the names and shapes of face-api's face recognition network."""

import functools
import json

import numpy as np

UNITS = {32: "123", 64: ("down", *"123"), 128: ("down", *"12"), 256: ("down", *"12")}


@functools.cache
def arrays():
    """Random ones of dlib's layout, of a scale at which nothing vanishes."""
    rng = np.random.default_rng(0)
    out = {}

    def layer(name, kernel, width, c, damp=1.0):
        scale = (2 / (kernel**2 * width)) ** 0.5
        filters = rng.standard_normal((kernel, kernel, width, c)) * scale
        out[f"{name}/conv/filters"] = filters
        out[f"{name}/conv/bias"] = 0.3 * rng.standard_normal(c)
        out[f"{name}/scale/weights"] = damp * rng.uniform(0.5, 1.5, c)
        out[f"{name}/scale/biases"] = 0.3 * rng.standard_normal(c)

    layer("conv32_down", 7, 3, 32)
    width = 32
    for c, names in UNITS.items():
        for name in names:
            layer(f"conv{c}_{name}/conv1", 3, width, c)
            layer(f"conv{c}_{name}/conv2", 3, c, c, damp=0.5)
            width = c
    return {name: np.float32(x) for name, x in out.items()}


def write(folder, name="face_recognition_model-weights_manifest.json"):
    """Writes `arrays` as face-api does, 8 bits a number; returns the manifest."""
    entries, data = [], b""
    for key, x in arrays().items():
        low, step = float(x.min()), float(np.ptp(x)) / 255
        data += np.round((x - low) / step).astype(np.uint8).tobytes()
        packed = {"dtype": "uint8", "scale": step, "min": low}
        shape = list(x.shape)
        entry = {
            "name": key,
            "shape": shape,
            "dtype": "float32",
            "quantization": packed,
        }
        entries.append(entry)
    half = len(data) // 2  # a group may have several files
    (folder / "a.bin").write_bytes(data[:half])
    (folder / "b.bin").write_bytes(data[half:])
    manifest = [{"weights": entries, "paths": ["a.bin", "b.bin"]}]
    (folder / name).write_text(json.dumps(manifest))
    return folder / name

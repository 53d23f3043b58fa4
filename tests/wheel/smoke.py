"""What an installed package does by itself, in a few seconds: `python -I smoke.py`.

A face is drawn and classified, in Python and by the command, with nothing but what
`pip install qcs_jax` brings, and without a checkout on the path.
"""

import importlib.metadata
import json
import math
import pathlib
import subprocess
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).parents[2]


def main():
    import qcs_jax

    here = pathlib.Path(qcs_jax.__file__)
    assert not here.is_relative_to(CHECKOUT), f"{here} is not an installed package"
    assert qcs_jax.__version__ == importlib.metadata.version("qcs_jax")
    from qcs_jax.data.synthetic_faces import renderer

    with tempfile.TemporaryDirectory() as folder:
        face = pathlib.Path(folder) / "face.png"
        renderer.draw_sample(0, "test", 1).image.resize((320, 320)).save(face)
        classifier = qcs_jax.load()
        prediction = classifier.predict(face)
        assert prediction.label in classifier.class_names
        assert math.isclose(sum(prediction.probabilities), 1, abs_tol=1e-4)
        print(f"qcs_jax {qcs_jax.__version__}: {prediction}")
        photograph = classifier.predict_photo(face)  # the detector runs, too
        assert len(photograph.faces) == 1, photograph
        command = "-I -m qcs_jax predict --crops --json".split()
        command = [sys.executable, *command, str(face)]
        said = subprocess.check_output(command, text=True, cwd=folder)
        (answer,) = json.loads(said)
        assert answer["label"] == prediction.label, answer


if __name__ == "__main__":
    main()

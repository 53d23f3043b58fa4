"""How long a step, a prediction and the decoding of images take, and why."""

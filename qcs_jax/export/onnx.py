"""ONNX, for ONNX Runtime on servers, phones and in browsers; any batch.

jax2onnx writes the graph. Its package asks for versions of others that it does not use,
so it is installed beside them, see `INSTALL`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import tempfile
from typing import Any

import jax
import numpy as np

from qcs_jax.export.served import OUTPUTS, Exported, Served, write_labels
from qcs_jax.system.errors import UserError

MODEL_FILE = "model.onnx"
TOLERANCE = 2e-5  # see `check`
INSTALL = 'pip install "qcs_jax[onnx]" && pip install --no-deps jax2onnx==0.17.1'

_BATCH = 16  # photographs that calibrate at once
_SMALL = 64  # arrays of so few numbers stay in float32


def check_installed() -> None:
    """Raises UserError unless everything is installed that writes and runs ONNX."""
    try:
        import jax2onnx  # noqa: F401
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs more packages ({error}): {INSTALL}") from error


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.onnx` and `labels.txt`.

    It takes `images` and gives `logits` and `probabilities`. Its metadata are
    `class_names`, a JSON list, and `preprocessing`, a JSON object. "float16" computes
    in float32; "int8" computes convolutions and matrix products in 8 bits, with ranges
    that the examples show.
    """
    check_installed()
    import onnx

    with contextlib.ExitStack() as after:
        after.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)  # about shapes that nobody needs
        model = _convert(served)
        if served.quantize == "int8":
            model = _in_int8(model, served)
    if served.quantize == "float16":
        _halve(model)
    preprocessing = {
        "color": "RGB",
        "resize": served.trained.resize,
        "crop": served.model.image_size,
        "inside": served.preprocess,  # crop and normalisation
    }
    names = json.dumps(served.trained.class_names)
    texts = {"class_names": names, "preprocessing": json.dumps(preprocessing)}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / MODEL_FILE)
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote, in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    # As bytes: the runtime takes no path that is not UTF-8.
    model = (folder / MODEL_FILE).read_bytes()
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(OUTPUTS, session.run(OUTPUTS, {"images": images}), strict=True))

    return run


def _convert(served: Served) -> Any:
    """The function as a model of ONNX, weights inside."""
    import jax.extend
    from jax._src import core
    from jax2onnx import to_onnx

    if not hasattr(core, "ClosedJaxpr"):  # jax 0.12 lacks it, jax2onnx 0.17.1 asks
        core.ClosedJaxpr = jax.extend.core.ClosedJaxpr  # type: ignore[misc]

    def function(images: jax.Array) -> tuple[jax.Array, ...]:
        outputs = served(served.variables, images)
        return tuple(outputs[name] for name in OUTPUTS)

    with jax.numpy_rank_promotion("allow"):  # jax2onnx's own code needs it
        return to_onnx(
            function,
            [served.images("b")],
            model_name="qcs_jax",
            opset=17,
            input_names=["images"],
            output_names=list(OUTPUTS),
        )


def _in_int8(model: Any, served: Served) -> Any:
    """The model with 8-bit convolutions and products."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    examples = served.examples
    assert examples is not None, "int8 needs examples"
    starts = range(0, len(examples), _BATCH)
    batches = iter([served.prepare(examples[i : i + _BATCH]) for i in starts])

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"images": batch} for batch in batches), None)

    with tempfile.TemporaryDirectory() as scratch:
        names = "graph.onnx", "prepared.onnx", "int8.onnx"
        graph, prepared, quantized = (pathlib.Path(scratch, name) for name in names)
        onnx.save(model, graph)
        # Shapes are known already, and the symbolic ones stop it.
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantized,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # Without VNNI sums of two products of 8 bits overflow: 7 bits lose less.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
        return onnx.load(quantized)


def _halve(model: Any) -> None:
    """Stores the weights in float16; the runtime makes float32 of them when it loads.

    Arithmetic of 16 bits would be slower on CPUs and less exact everywhere.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= _SMALL:
            name, half = tensor.name, f"{tensor.name}_float16"
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

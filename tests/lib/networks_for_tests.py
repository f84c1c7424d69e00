"""Small networks with known weights, as bytes of ONNX files; and running any such file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

Arrays = dict[str, np.ndarray[Any, Any]]


def network(
    nodes: list[Any],
    weights: Arrays,
    *,
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    opset: int = 13,
) -> bytes:
    """Return an ONNX file; initialisers listed in ``inputs`` too are graph inputs as well, as old exporters do."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return bytes(model.SerializeToString())


def run(model: bytes, picture: np.ndarray[Any, Any]) -> Arrays:
    """Return every output of a model with one input, without any optimisation by ONNX Runtime."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: picture})
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def own_embedder(*, side: int = 16, dimension: int = 8, slopes_above_one: bool = False, seed: int = 5) -> bytes:
    """Return a customer's embedder: Conv, BatchNormalization, PRelu, Conv, PRelu, pooling, Gemm; it wants RGB."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray[Any, Any]:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    top = 1.6 if slopes_above_one else 0.9
    weights = {
        "w1": normal(16, 3, 3, 3),
        "gamma": 1 + normal(16),
        "beta": normal(16),
        "mean": normal(16),
        "var": 1 + np.abs(normal(16)),
        "a1": rng.uniform(-0.5, top, (16, 1, 1)).astype(np.float32),
        "w2": normal(16, 16, 3, 3),
        "b2": normal(16),
        "a2": rng.uniform(-0.5, top, (16, 1, 1)).astype(np.float32),
        "w3": normal(dimension, 16),
        "b3": normal(dimension),
    }
    convolution: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["picture", "w1"], ["c1"], **convolution, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c1", "gamma", "beta", "mean", "var"], ["n1"]),
        helper.make_node("PRelu", ["n1", "a1"], ["p1"]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], **convolution),
        helper.make_node("PRelu", ["c2", "a2"], ["p2"]),
        helper.make_node("GlobalAveragePool", ["p2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["feature"], transB=1),
    ]
    return network(nodes, weights, inputs={"picture": [1, 3, side, side]}, outputs={"feature": [1, dimension]})

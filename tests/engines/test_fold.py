from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_for_tests import network, own_embedder, run
from onnx import helper

from appliance.errors import ConfigError
from trt_engines.fold import clean, fold_constants
from trt_engines.graph import IR_VERSION, OPSET, Graph

PLAIN = {"mean": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)}


def picture(n: int, height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, height, width)).astype(np.float32)


def quantised(shape: tuple[int, int], block: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    blocks = (shape[0], -(-shape[1] // block))
    return {
        "q": rng.integers(-128, 128, shape).astype(np.int8),
        "scales": rng.uniform(0.001, 0.1, blocks).astype(np.float32),
        "zeros": rng.integers(-5, 6, blocks).astype(np.int8),
        "shape": np.array([shape[0], 3, 3, shape[1] // 9], np.int64),
    }


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 40), st.integers(0, 99))
def test_block_quantised_weights_are_written_out_exactly(rows: int, ninths: int, block: int, seed: int) -> None:
    weights = quantised((rows, 9 * ninths), block, seed)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scales", "zeros"], ["d"], axis=1, block_size=block),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    graph = Graph.parse(
        network(nodes, weights, inputs={"x": [1]}, outputs={"y": [rows, 3, 3, ninths]}, opset=21), "small"
    )
    fold_constants(graph)
    assert [node.op for node in graph.nodes] == ["Add"]
    for row in range(rows):
        for column in range(9 * ninths):
            scale, zero = (weights[name][row, column // block] for name in ("scales", "zeros"))
            expected = np.float32(float(weights["q"][row, column]) - float(zero)) * scale
            assert graph.weights["w"].reshape(rows, -1)[row, column] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_quantised_along_an_axis_or_as_a_whole_are_written_out(axis: int) -> None:
    rng = np.random.default_rng(axis)
    q = rng.integers(-128, 128, (4, 6)).astype(np.int8)
    for scales in (rng.uniform(0.01, 1, q.shape[axis]).astype(np.float32), np.float32(0.25).reshape(())):
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "scales"], ["d"], axis=axis),
            helper.make_node("Add", ["x", "d"], ["y"]),
        ]
        model = network(nodes, {"q": q, "scales": scales}, inputs={"x": [1]}, outputs={"y": [4, 6]})
        graph = Graph.parse(model, "small")
        fold_constants(graph)
        expected = q.astype(np.float32) * (np.expand_dims(scales, 1 - axis) if scales.ndim else scales)
        np.testing.assert_array_equal(graph.weights["d"], expected)


@pytest.mark.parametrize("colour", ["bgr", "rgb"])
@pytest.mark.parametrize("mean", [(0.0, 0.0, 0.0), (120.0, 110.0, 100.0)])
def test_a_clean_model_does_colour_mean_and_scale_itself(colour: str, mean: tuple[float, float, float]) -> None:
    published, scale = own_embedder(), (0.01, 0.02, 0.03)
    graph = Graph.parse(published, "own")
    clean(graph, colour=colour, mean=mean, scale=scale, free_size=False)
    bgr = picture(1, 16, 16)
    wanted = bgr[:, ::-1] if colour == "rgb" else bgr
    wanted = (wanted - np.reshape(mean, (1, 3, 1, 1))) * np.reshape(scale, (1, 3, 1, 1))
    expected = run(published, wanted.astype(np.float32))["feature"]
    np.testing.assert_allclose(run(graph.serialise("own"), bgr)["feature"], expected, rtol=1e-4, atol=1e-5)


def test_a_model_whose_first_step_is_no_convolution_gets_its_colours_gathered() -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["picture"], ["y"])]
    published = network(nodes, {}, inputs={"picture": [1, 3, 8, 8]}, outputs={"y": [1, 3, 1, 1]})
    graph = Graph.parse(published, "own")
    clean(graph, colour="rgb", **PLAIN, free_size=False)
    bgr = picture(2, 8, 8)
    np.testing.assert_allclose(
        run(graph.serialise("own"), bgr)["y"], bgr[:, ::-1].mean(axis=(2, 3), keepdims=True), rtol=1e-5
    )


def test_a_clean_model_takes_any_batch() -> None:
    graph = Graph.parse(own_embedder(), "own")
    clean(graph, colour="rgb", **PLAIN, free_size=False)
    model = graph.serialise("own")
    together = run(model, picture(5, 16, 16))["feature"]
    assert together.shape == (5, 8)
    for index, one in enumerate(picture(5, 16, 16)):
        np.testing.assert_allclose(run(model, one[None])["feature"][0], together[index], rtol=1e-4, atol=1e-5)


def test_weights_that_are_inputs_too_and_dropout_disappear() -> None:
    nodes = [
        helper.make_node("Add", ["picture", "b"], ["s"]),
        helper.make_node("Constant", [], ["ratio"], value_float=0.4),
        helper.make_node("Dropout", ["s", "ratio2"], ["d"]),
        helper.make_node("Identity", ["d"], ["i"]),
        helper.make_node("Relu", ["i"], ["y"]),
    ]
    weights = {"b": np.ones((1, 3, 1, 1), np.float32), "ratio2": np.array(0.4, np.float32)}
    inputs = {"picture": [1, 3, 4, 4], "b": [1, 3, 1, 1], "left_behind": [4]}
    graph = Graph.parse(network(nodes, weights, inputs=inputs, outputs={"y": [1, 3, 4, 4]}), "own")
    clean(graph, colour="bgr", **PLAIN, free_size=True)
    model = graph.serialise("own")
    assert [node.op for node in graph.nodes] == ["Add", "Relu"]
    assert [port.name for port in graph.inputs] == ["picture"]
    assert run(model, picture(2, 6, 5))["y"].shape == (2, 3, 6, 5)


def test_a_clean_model_is_labelled_for_the_oldest_parser() -> None:
    graph = Graph.parse(own_embedder(), "own")
    clean(graph, colour="rgb", **PLAIN, free_size=False)
    model = onnx.load_from_string(graph.serialise("own"))
    assert [entry.version for entry in model.opset_import] == [OPSET]
    assert model.ir_version == IR_VERSION


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x07", b"\xff" * 100])
def test_what_is_not_a_model_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"own\.onnx"):
        Graph.parse(data, "own.onnx")


def test_a_model_of_two_pictures_is_refused() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    axes: list[int | str] = [1, 3, 4, 4]
    graph = Graph.parse(network(nodes, {}, inputs={"a": axes, "b": axes}, outputs={"y": axes}), "own")
    with pytest.raises(ConfigError, match="one input of four axes"):
        clean(graph, colour="bgr", **PLAIN, free_size=False)


def test_an_operation_that_the_opset_lacks_is_refused() -> None:
    nodes = [helper.make_node("Gelu", ["picture"], ["y"])]
    axes: list[int | str] = [1, 3, 4, 4]
    graph = Graph.parse(network(nodes, {}, inputs={"picture": axes}, outputs={"y": axes}, opset=20), "own")
    clean(graph, colour="bgr", **PLAIN, free_size=False)
    with pytest.raises(ConfigError, match=f"own cannot be written as opset {OPSET}"):
        graph.serialise("own")

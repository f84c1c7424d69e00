from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_for_tests import network, own_embedder, run
from onnx import helper

from trt_engines.cpu_flavour import block_prelu, for_cpu, merge_heads, take_pictures
from trt_engines.fold import clean
from trt_engines.graph import Graph


def cleaned(model: bytes, *, free_size: bool = False) -> Graph:
    graph = Graph.parse(model, "small")
    clean(graph, colour="bgr", mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0), free_size=free_size)
    return Graph.parse(graph.serialise("small"), "small")


def pictures(n: int, height: int, width: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def planes(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)


def head(kinds: dict[str, int], seed: int = 4) -> bytes:
    """A trunk of 8 channels at half size, and one branch a kind, as YuNet has them."""
    rng = np.random.default_rng(seed)
    weights = {"w": rng.normal(0, 0.05, (8, 3, 3, 3)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["picture", "w"], ["trunk"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)]
    for kind, channels in kinds.items():
        weights |= {
            f"{kind}.w1": rng.normal(0, 0.3, (channels, 8, 1, 1)).astype(np.float32),
            f"{kind}.b1": rng.normal(0, 0.3, channels).astype(np.float32),
            f"{kind}.w2": rng.normal(0, 0.3, (channels, 1, 3, 3)).astype(np.float32),
            f"{kind}.b2": rng.normal(0, 0.3, channels).astype(np.float32),
            f"{kind}.shape": np.array([1, -1, channels], np.int64),
        }
        nodes += [
            helper.make_node("Conv", ["trunk", f"{kind}.w1", f"{kind}.b1"], [f"{kind}.p"], kernel_shape=[1, 1]),
            helper.make_node(
                "Conv",
                [f"{kind}.p", f"{kind}.w2", f"{kind}.b2"],
                [f"{kind}.d"],
                kernel_shape=[3, 3],
                pads=[1] * 4,
                group=channels,
            ),
            helper.make_node("Transpose", [f"{kind}.d"], [f"{kind}.t"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"{kind}.t", f"{kind}.shape"], [kind if channels > 1 else f"{kind}.r"]),
        ]
        if channels == 1:
            nodes.append(helper.make_node("Sigmoid", [f"{kind}.r"], [kind]))
    outputs: dict[str, list[int | str]] = {kind: [1, 64, channels] for kind, channels in kinds.items()}
    return network(nodes, weights, inputs={"picture": [1, 3, 16, 16]}, outputs=outputs)


@pytest.mark.parametrize("above_one", [False, True])
@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_a_prelu_in_blocks_is_the_same_function(above_one: bool, seed: int) -> None:
    graph = cleaned(own_embedder(slopes_above_one=above_one, seed=seed))
    images = planes(pictures(2, 16, 16, seed))
    expected = run(graph.serialise("small"), images)["feature"]
    block_prelu(graph)
    assert not list(graph.of("PRelu"))
    np.testing.assert_allclose(run(graph.serialise("small"), images)["feature"], expected, rtol=1e-4, atol=1e-3)


@settings(max_examples=20)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 3), st.sampled_from([1, 8, 32]))
def test_pictures_go_in_as_they_lie_and_are_padded_with_black(height: int, width: int, n: int, multiple: int) -> None:
    weights = {"w": np.random.default_rng(0).normal(0, 0.05, (4, 3, 3, 3)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["picture", "w"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)]
    graph = cleaned(
        network(nodes, weights, inputs={"picture": [1, 3, 8, 8]}, outputs={"y": [1, 4, 4, 4]}), free_size=True
    )
    images = pictures(n, height, width)
    bottom, right = -height % multiple, -width % multiple
    padded = planes(np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0))))
    expected = run(graph.serialise("small"), padded)["y"]
    take_pictures(graph, multiple_of=multiple)
    assert not list(graph.of("Transpose"))
    np.testing.assert_allclose(run(graph.serialise("small"), images)["y"], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dilations", [[1, 1], [2, 2]])
def test_a_first_step_that_cannot_be_interleaved_gets_its_transpose(dilations: list[int]) -> None:
    weights = {"w": np.random.default_rng(0).normal(0, 0.05, (4, 3, 3, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["picture", "w"], ["y"], kernel_shape=[3, 3], dilations=dilations),
        helper.make_node("Relu", ["picture"], ["z"]),
    ]
    outputs: dict[str, list[int | str]] = {"y": [1, 4, 4, 4], "z": [1, 3, 8, 8]}
    graph = cleaned(network(nodes, weights, inputs={"picture": [1, 3, 8, 8]}, outputs=outputs), free_size=True)
    images = pictures(2, 9, 11)
    expected = run(graph.serialise("small"), planes(images))
    take_pictures(graph, multiple_of=1)
    found = run(graph.serialise("small"), images)
    for name in outputs:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3)


def test_the_branches_of_a_head_are_computed_together() -> None:
    graph = cleaned(head({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}), free_size=True)
    images = planes(pictures(2, 12, 20))
    expected = run(graph.serialise("small"), images)
    merge_heads(graph)
    model = graph.serialise("small")
    assert len(list(graph.of("Conv"))) == 3
    found = run(model, images)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4)


def test_a_single_branch_is_left_alone() -> None:
    graph = cleaned(head({"bbox": 4}), free_size=True)
    before = [node.op for node in graph.nodes]
    merge_heads(graph)
    assert [node.op for node in graph.nodes] == before


def test_a_customers_embedder_goes_through_all_of_it_unharmed() -> None:
    graph = cleaned(own_embedder(slopes_above_one=True))
    images = pictures(3, 16, 16)
    expected = run(graph.serialise("small"), planes(images))["feature"]
    for_cpu(graph, multiple_of=1)
    np.testing.assert_allclose(run(graph.serialise("small"), images)["feature"], expected, rtol=1e-4, atol=1e-3)

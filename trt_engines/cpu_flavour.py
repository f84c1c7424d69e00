"""From a clean model to one that ONNX Runtime runs fast on a CPU. What each step gains: docs/decisions/0002.

ONNX Runtime keeps tensors in blocks of 16 channels (NCHWc) between operations that it has blocked kernels for, and
those run near the processor's peak. Everything here serves to stay within them.

Rules of this module:
    1. The outputs keep their names, shapes and values, to rounding; the input becomes the picture as it lies in memory.
    2. A pattern that is not there is left alone: another network is slower, never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from trt_engines.graph import Array, Graph, Node, Port


def for_cpu(graph: Graph, *, multiple_of: int) -> None:
    """Rewrite a clean model in place: ``(n, height, width, 3)`` uint8 BGR in, the same outputs."""
    block_prelu(graph)
    merge_heads(graph)
    take_pictures(graph, multiple_of=multiple_of)


def block_prelu(graph: Graph) -> None:
    """Write PRelu as two 1x1 depthwise convolutions: ``a x + relu((1 - a) x)``, for slopes of at most 1.

    ONNX Runtime's PRelu is scalar code and leaves the blocked layout. These convolutions do not, and Relu and the sum
    are fused into them. With a slope above 1 the second factor is negative and must not go under the Relu.
    """
    producers = graph.producers()
    for node in graph.of("PRelu"):
        slope = graph.weights.get(node.inputs[1])
        before = producers.get(node.inputs[0])
        blocked = before is not None and before.op in {"Conv", "BatchNormalization", "Add"}
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1) or not blocked:
            continue
        x, rest = node.inputs[0], 1.0 - slope.ravel().astype(np.float64)
        if (rest >= 0).all():
            wide = _per_channel(graph, x, rest)
            bent = graph.add("Relu", [wide.output])
            steps = [wide, bent]
        else:
            relu = graph.add("Relu", [x])
            bent = _per_channel(graph, relu.output, rest)
            steps = [relu, bent]
        straight = _per_channel(graph, x, slope.ravel())
        total = Node("Add", [straight.output, bent.output], [node.output], {})
        graph.replace(node, *steps, straight, total)


@dataclass(frozen=True, slots=True)
class _Branch:
    """One output of YuNet's head: 1x1 convolution, 3x3 depthwise convolution, transpose, reshape and what follows."""

    point: Node
    depth: Node
    reshape: Node
    channels: int


def merge_heads(graph: Graph) -> None:
    """Compute a detector's branches over the same trunk together: 1 + 1 + 4 + 10 channels are one block of 16.

    Alone, each branch wastes most of its block, and is carried out of the blocked layout by itself.
    """
    groups: dict[str, list[_Branch]] = {}
    producers = graph.producers()
    for node in graph.of("Reshape"):
        branch = _branch(graph, node, producers)
        if branch is not None:
            groups.setdefault(branch.point.inputs[0], []).append(branch)
    for trunk, branches in groups.items():
        if len(branches) > 1:
            _merge(graph, trunk, branches)


def take_pictures(graph: Graph, *, multiple_of: int) -> None:
    """Take pictures as they lie in memory; pad free sizes at the right and at the bottom with black."""
    old = graph.inputs[0]
    graph.inputs = [Port("pictures", TensorProto.UINT8, (old.axes[0], old.axes[2], old.axes[3], 3))]
    steps = _padding(graph, "pictures", multiple_of) if multiple_of > 1 else []
    cast = graph.add("Cast", [steps[-1].output if steps else "pictures"], to=TensorProto.FLOAT)
    readers = [node for node in graph.nodes if old.name in node.inputs]
    first = readers[0]
    if len(readers) == 1 and first.op == "Conv" and _is_plain(graph, first):
        steps += [cast, *_rows_as_one_channel(graph, cast.output, first)]
    else:
        transpose = graph.add("Transpose", [cast.output], perm=[0, 3, 1, 2])
        graph.rename(old.name, transpose.output)
        steps += [cast, transpose]
    graph.nodes[:0] = steps


def _padding(graph: Graph, pictures: str, multiple_of: int) -> list[Node]:
    """Pad to a multiple at the end of both axes: ``-size mod multiple``, computed from the picture itself."""
    shape = graph.add("Shape", [pictures])
    negative = graph.add("Neg", [shape.output])
    step = graph.weight("step", np.array([1, multiple_of, multiple_of, 1], np.int64))
    rest = graph.add("Mod", [negative.output, step])
    pads = graph.add("Concat", [graph.weight("none", np.zeros(4, np.int64)), rest.output], axis=0)
    return [shape, negative, rest, pads, graph.add("Pad", [pictures, pads.output])]


def _is_plain(graph: Graph, conv: Node) -> bool:
    attributes = conv.attributes
    return (
        conv.inputs[1] in graph.weights
        and graph.weights[conv.inputs[1]].ndim == 4
        and attributes.get("group", 1) == 1
        and list(attributes.get("dilations", [1, 1])) == [1, 1]
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    )


def _rows_as_one_channel(graph: Graph, pictures: str, conv: Node) -> list[Node]:
    """Make the first convolution read interleaved colours: no transpose of the whole picture.

    ``(n, height, width, 3)`` is ``(n, 1, height, 3 width)``; a kernel of k columns over three channels is then one of
    ``3 k`` columns over one channel, with three times the stride and padding.
    """
    weight = graph.weights[conv.inputs[1]]
    out, colours, rows, columns = weight.shape
    strides = list(conv.attributes.get("strides", [1, 1]))
    pads = list(conv.attributes.get("pads", [0, 0, 0, 0]))
    flat = np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).reshape(out, 1, rows, columns * colours)
    conv.inputs[1] = graph.weight("interleaved", flat)
    conv.attributes |= {
        "kernel_shape": [rows, columns * colours],
        "strides": [strides[0], strides[1] * colours],
        "pads": [pads[0], pads[1] * colours, pads[2], pads[3] * colours],
    }
    axis = graph.add("Unsqueeze", [pictures, graph.weight("axis", np.array([1], np.int64))])
    flatten = graph.add("Reshape", [axis.output, graph.weight("shape", np.array([0, 0, 0, -1], np.int64))])
    conv.inputs[0] = flatten.output
    return [axis, flatten]


def _per_channel(graph: Graph, x: str, factors: Array) -> Node:
    weight = graph.weight("factors", factors.astype(np.float32).reshape(-1, 1, 1, 1))
    return graph.add("Conv", [x, weight], group=len(factors), kernel_shape=[1, 1])


def _branch(graph: Graph, reshape: Node, producers: dict[str, Node]) -> _Branch | None:
    transpose = producers.get(reshape.inputs[0])
    if transpose is None or transpose.op != "Transpose" or list(transpose.attributes["perm"]) != [0, 2, 3, 1]:
        return None
    depth = producers.get(transpose.inputs[0])
    point = producers.get(depth.inputs[0]) if depth is not None and depth.op == "Conv" else None
    if depth is None or point is None or point.op != "Conv" or len(point.inputs) != 3 or len(depth.inputs) != 3:
        return None
    if any(name not in graph.weights for name in (*point.inputs[1:], *depth.inputs[1:], reshape.inputs[1])):
        return None
    channels = len(graph.weights[depth.inputs[1]])
    small = graph.weights[point.inputs[1]].shape[2:] == (1, 1) and depth.attributes.get("group", 1) == channels
    alone = all(graph.sole_consumer(n.output, op) for n, op in ((point, "Conv"), (depth, "Transpose")))
    flat = list(graph.weights[reshape.inputs[1]]) == [0, -1, channels]
    return _Branch(point, depth, reshape, channels) if small and alone and flat else None


def _merge(graph: Graph, trunk: str, branches: list[_Branch]) -> None:
    """Put one chain in the place of several, and split at its end."""

    def joined(nodes: list[Node], index: int) -> str:
        return graph.weight("joined", np.concatenate([graph.weights[node.inputs[index]] for node in nodes]))

    points, depths = [b.point for b in branches], [b.depth for b in branches]
    channels = [branch.channels for branch in branches]
    point = Node("Conv", [trunk, joined(points, 1), joined(points, 2)], [graph.fresh("point")], points[0].attributes)
    depth = graph.add("Conv", [point.output, joined(depths, 1), joined(depths, 2)])
    depth.attributes |= depths[0].attributes | {"group": sum(channels)}
    transpose = graph.add("Transpose", [depth.output], perm=[0, 2, 3, 1])
    shape = graph.weight("shape", np.array([0, -1, sum(channels)], np.int64))
    flat = graph.add("Reshape", [transpose.output, shape])
    sizes = graph.weight("sizes", np.array(channels, np.int64))
    split = Node("Split", [flat.output, sizes], [b.reshape.output for b in branches], {"axis": 2})
    # The first reshape has everything that the chain needs before it, and whatever reads the others comes after.
    first = min(branches, key=lambda b: next(i for i, node in enumerate(graph.nodes) if node is b.reshape))
    graph.replace(first.reshape, point, depth, transpose, flat, split)
    for branch in branches:
        if branch is not first:
            graph.remove(branch.reshape)

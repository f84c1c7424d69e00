"""From a clean model to one that ONNX Runtime runs fast on a CPU. Why each step is there: docs/decisions/0002."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from trt_engines.graph import Graph, Port


def for_cpu(graph: Graph, *, multiple_of: int) -> None:
    """Rewrite a clean model in place: ``(n, height, width, 3)`` uint8 BGR in, the same outputs."""
    take_pictures(graph, multiple_of=multiple_of)


def take_pictures(graph: Graph, *, multiple_of: int) -> None:
    """Take pictures as they lie in memory; pad free sizes at the right and at the bottom with black."""
    old = graph.inputs[0]
    graph.inputs = [Port("pictures", TensorProto.UINT8, (old.axes[0], old.axes[2], old.axes[3], 3))]
    nodes = []
    last = "pictures"
    if multiple_of > 1:
        shape = graph.add("Shape", [last])
        step = graph.weight("step", np.array([1, multiple_of, multiple_of, 1], np.int64))
        negative = graph.add("Neg", [shape.output])
        rest = graph.add("Mod", [negative.output, step])
        pads = graph.add("Concat", [graph.weight("none", np.zeros(4, np.int64)), rest.output], axis=0)
        padded = graph.add("Pad", [last, pads.output])
        nodes += [shape, negative, rest, pads, padded]
        last = padded.output
    cast = graph.add("Cast", [last], to=TensorProto.FLOAT)
    transpose = graph.add("Transpose", [cast.output], perm=[0, 3, 1, 2])
    graph.rename(old.name, transpose.output)
    graph.nodes[:0] = [*nodes, cast, transpose]

"""From a model as it is published to a clean one: plain fp32 operators, free batch, height and width.

The clean model takes ``(n, 3, height, width)`` float32 BGR, 0-255, whatever the published one wanted: colour order,
mean and scale are put into the graph, so that TensorRT and ONNX Runtime are fed alike.

Rules of this module:
    1. What the network computes stays what it was; block-quantised weights are written out, never requantised.
    2. What cannot be folded is left as it is and refused by the checker, in a sentence.
"""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from appliance.errors import ConfigError
from trt_engines.graph import Array, Graph, Node, Port

BATCH = "n"


def clean(graph: Graph, *, colour: str, mean: tuple[float, ...], scale: tuple[float, ...], free_size: bool) -> None:
    """Make ``graph`` a clean model, in place.

    Args:
        graph: As published, one picture input.
        colour: ``bgr`` or ``rgb``: what the published model takes.
        mean: Three values in that order, subtracted from 0-255.
        scale: Three values in that order, multiplied afterwards.
        free_size: Whether height and width become symbols as well (the batch always does).

    Raises:
        ConfigError: There is not exactly one picture input.
    """
    fold_constants(graph)
    drop_identities(graph)
    drop_unread_inputs(graph)
    free_batch(graph, free_size=free_size)
    if colour == "rgb":
        swap_colours(graph)
        mean, scale = mean[::-1], scale[::-1]
    normalise_input(graph, mean, scale)


def fold_constants(graph: Graph) -> None:
    """Turn Constant, DequantizeLinear of weights, and Reshape of weights into weights."""
    for node in graph.of("Constant", "DequantizeLinear", "Reshape"):
        value = _constant(graph, node)
        if value is not None:
            graph.weights[node.output] = value
            graph.remove(node)


def drop_identities(graph: Graph) -> None:
    """Take out Identity and Dropout, which do nothing at inference."""
    for node in graph.of("Identity", "Dropout"):
        if not any(port.name == node.output for port in graph.outputs):
            graph.rename(node.output, node.inputs[0])
            graph.remove(node)


def drop_unread_inputs(graph: Graph) -> None:
    """Take out inputs that nothing reads: quantisers leave one behind for every weight."""
    read = {name for node in graph.nodes for name in node.inputs}
    graph.inputs = [port for port in graph.inputs if port.name in read]


def free_batch(graph: Graph, *, free_size: bool) -> None:
    """Make the first axis of the input, of every output and of every Reshape a symbol."""
    if len(graph.inputs) != 1 or len(graph.inputs[0].axes) != 4:
        raise ConfigError("the model must have one input of four axes, (n, 3, height, width)")
    port = graph.inputs[0]
    size: tuple[int | str, ...] = ("height", "width") if free_size else port.axes[2:]
    graph.inputs = [Port(port.name, port.element, (BATCH, port.axes[1], *size))]
    for node in graph.of("Reshape"):
        shape = graph.weights.get(node.inputs[1])
        if shape is not None and len(shape) > 1 and shape[0] == 1:
            # 0 copies the axis of what comes in.
            node.inputs[1] = graph.weight("shape", np.concatenate([[0], shape[1:]]).astype(np.int64))
    outputs = []
    for output in graph.outputs:
        inner = (f"{output.name}_cells", *output.axes[2:]) if free_size and len(output.axes) > 2 else output.axes[1:]
        outputs.append(Port(output.name, output.element, (BATCH, *inner)))
    graph.outputs = outputs


def swap_colours(graph: Graph) -> None:
    """Make a model that wants RGB take BGR: turn the first convolution's weights round, or gather the channels."""
    name = graph.inputs[0].name
    first = _first_convolution(graph, name)
    if first is not None:
        weight = graph.weights[first.inputs[1]]
        first.inputs[1] = graph.weight("swapped", np.ascontiguousarray(weight[:, ::-1]))
        return
    gather = graph.add("Gather", [name, graph.weight("bgr", np.array([2, 1, 0], np.int64))], axis=1)
    graph.rename(name, gather.output)
    graph.nodes.insert(0, gather)


def normalise_input(graph: Graph, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
    """Put ``(x - mean) * scale`` before the first operation, where it is not (0, 1)."""
    name = graph.inputs[0].name
    last = name
    steps = []
    for op, values, neutral in (("Sub", mean, 0.0), ("Mul", scale, 1.0)):
        if any(value != neutral for value in values):
            constant = graph.weight(op.lower(), np.array(values, np.float32).reshape(1, 3, 1, 1))
            steps.append(graph.add(op, [last, constant]))
            last = steps[-1].output
    if steps:
        graph.rename(name, last)
        # The renaming reaches only nodes that are in the graph, so our own first step still reads the input.
        graph.nodes[:0] = steps


def _first_convolution(graph: Graph, tensor: str) -> Node | None:
    """Return the convolution that the input reaches through channel-blind steps alone."""
    while True:
        readers = [node for node in graph.nodes if tensor in node.inputs]
        if len(readers) != 1:
            return None
        node = readers[0]
        if node.op == "Conv" and node.inputs[1] in graph.weights and node.attributes.get("group", 1) == 1:
            return node
        other = graph.weights.get(node.inputs[1]) if len(node.inputs) == 2 else None
        if node.op not in {"Sub", "Add", "Mul", "Div"} or other is None or other.size != 1:
            return None
        tensor = node.output


def _constant(graph: Graph, node: Node) -> Array | None:
    """Return what a node makes of weights alone, or None."""
    if node.op == "Constant":
        value = node.attributes.get("value")
        return None if value is None else np.asarray(numpy_helper.to_array(value))
    if any(name not in graph.weights for name in node.inputs if name):
        return None
    values = [graph.weights[name] for name in node.inputs if name]
    if node.op == "Reshape":
        shape = [values[0].shape[i] if axis == 0 else int(axis) for i, axis in enumerate(values[1].tolist())]
        return values[0].reshape(shape)
    return _dequantised(values, axis=node.attributes.get("axis", 1), block=node.attributes.get("block_size", 0))


def _dequantised(values: list[Array], *, axis: int, block: int) -> Array:
    """Return ``(x - zero) * scale`` (ONNX DequantizeLinear-21) with scales per tensor, per axis or per block."""
    quantised = values[0]
    axis %= max(quantised.ndim, 1)
    parameters = []
    for parameter in values[1:]:
        if block:
            wide = np.repeat(parameter, block, axis=axis)
            parameters.append(wide.take(np.arange(quantised.shape[axis]), axis=axis))
        elif parameter.ndim == 1 and parameter.size > 1:
            parameters.append(parameter.reshape([-1 if i == axis else 1 for i in range(quantised.ndim)]))
        else:
            parameters.append(parameter)
    zero = parameters[1].astype(np.float32) if len(parameters) > 1 else np.float32(0)
    return np.asarray((quantised.astype(np.float32) - zero) * parameters[0].astype(np.float32), np.float32)

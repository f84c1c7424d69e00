"""An ONNX graph that can be rewritten: nodes in order, weights as arrays, everything by name.

Rules of this module:
    1. No pass changes what a graph computes, beyond rounding, unless its name says so.
    2. A pattern that is not there is left alone, so that a customer's own model goes through the same passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.errors import ConfigError

Array = NDArray[Any]

OPSET = 13
"""TensorRT 8.6's parser ends at opset 17, and nothing in our graphs is younger than 13."""

IR_VERSION = 8


@dataclass(slots=True)
class Node:
    """One operation."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    @property
    def output(self) -> str:
        """The first output, which for all but a few operations is the only one."""
        return self.outputs[0]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph: a name, an element type and its axes (a number, or a symbol)."""

    name: str
    element: int
    axes: tuple[int | str, ...]


class Graph:
    """A model while it is being rewritten.

    Attributes:
        nodes: In an order in which they can run.
        weights: Constant tensors by name.
        inputs: What a caller brings.
        outputs: What a caller gets.
    """

    def __init__(self, nodes: list[Node], weights: dict[str, Array], inputs: list[Port], outputs: list[Port]) -> None:
        self.nodes, self.weights, self.inputs, self.outputs = nodes, weights, inputs, outputs
        self._taken = {port.name for port in inputs} | set(weights) | {name for node in nodes for name in node.outputs}

    @classmethod
    def parse(cls, model: bytes, name: str) -> Graph:
        """Return the graph in an ONNX file.

        Raises:
            ConfigError: These are not the bytes of an ONNX model.
        """
        try:
            proto = onnx.load_from_string(model)
            graph = proto.graph
            weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        except Exception as error:  # noqa: BLE001 - protobuf's own error classes differ from build to build
            _refuse(name, error)
        if not graph.node or not graph.output:
            raise ConfigError(f"{name} holds no network: check that the manifest names an ONNX file")
        nodes = [
            Node(n.op_type, list(n.input), list(n.output), {a.name: helper.get_attribute_value(a) for a in n.attribute})
            for n in graph.node
        ]
        inputs = [_port(value) for value in graph.input if value.name not in weights]
        return cls(nodes, weights, inputs, [_port(value) for value in graph.output])

    def serialise(self, name: str) -> bytes:
        """Return the graph as a checked ONNX file, labelled ``OPSET`` and ``IR_VERSION``.

        Raises:
            ConfigError: An operation is not part of that opset.
        """
        self.prune()
        graph = helper.make_graph(
            [helper.make_node(n.op, n.inputs, n.outputs, name=n.output, **n.attributes) for n in self.nodes],
            name,
            [helper.make_tensor_value_info(p.name, p.element, list(p.axes)) for p in self.inputs],
            [helper.make_tensor_value_info(p.name, p.element, list(p.axes)) for p in self.outputs],
            [numpy_helper.from_array(np.ascontiguousarray(array), key) for key, array in self.weights.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="lamppost"
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ConfigError(
                f"{name} cannot be written as opset {OPSET}: {error}; export it with an older opset"
            ) from error
        return bytes(model.SerializeToString())

    def fresh(self, hint: str) -> str:
        """Return a name that nothing in the graph has."""
        name = next(name for number in itertools.count(1) if (name := f"{hint}.{number}") not in self._taken)
        self._taken.add(name)
        return name

    def weight(self, hint: str, value: Array) -> str:
        """Add a constant and return its name."""
        name = self.fresh(hint)
        self.weights[name] = value
        return name

    def producers(self) -> dict[str, Node]:
        """Return which node makes each tensor."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> Mapping[str, list[Node]]:
        """Return which nodes read each tensor; a tensor that leaves the graph has one more reader than listed."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def sole_consumer(self, tensor: str, op: str) -> Node | None:
        """Return the one node that reads ``tensor``, where it is an ``op`` and the tensor does not leave the graph."""
        readers = [node for node in self.nodes if tensor in node.inputs]
        leaves = any(port.name == tensor for port in self.outputs)
        return readers[0] if len(readers) == 1 and readers[0].op == op and not leaves else None

    def of(self, *ops: str) -> Iterator[Node]:
        """Yield the nodes of these operations, as they were when the walk began."""
        yield from [node for node in self.nodes if node.op in ops]

    def rename(self, old: str, new: str) -> None:
        """Make every reader of ``old`` read ``new``."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]

    def remove(self, node: Node) -> None:
        """Take a node out."""
        self.nodes = [other for other in self.nodes if other is not node]

    def replace(self, node: Node, *others: Node) -> None:
        """Put others in a node's place."""
        where = next(i for i, other in enumerate(self.nodes) if other is node)
        self.nodes[where : where + 1] = others

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> Node:  # noqa: ANN401
        """Return a new node, not yet placed."""
        return Node(op, list(inputs), [output or self.fresh(op.lower())], attributes)

    def prune(self) -> None:
        """Drop nodes and weights that no output needs."""
        needed = {port.name for port in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        self.nodes = kept[::-1]
        self.weights = {name: array for name, array in self.weights.items() if name in needed}


def _refuse(name: str, error: Exception) -> NoReturn:
    raise ConfigError(f"{name} is not an ONNX model ({type(error).__name__}): fetch it again") from error


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    axes = tuple(axis.dim_param or int(axis.dim_value) for axis in tensor.shape.dim)
    return Port(value.name, int(tensor.elem_type or TensorProto.FLOAT), axes)

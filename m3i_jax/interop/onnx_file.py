"""ONNX files: the weights of an exported graph by the names that they had, and what its nodes show.

An export keeps the names of most parameters. What it folds loses its own: the matrix of a linear
layer is the operand of a MatMul, named after the node; a table of positions that is cut into the
class token's row and the cells' is two operands of nodes. Nothing of a graph is run.
(https://onnx.ai/onnx/repo-docs/IR.html)
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.interop.statement import Fact

SUFFIX = ".onnx"
FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
QUANTISED = ("INT8", "UINT8", "INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2")
# What exporters call what has no name: onnx::MatMul_1966, val_12, 845.
_NAMELESS = re.compile(r".*::.*|[A-Za-z]*_?\d+")
_GELU = {b"none": "gelu", b"tanh": "gelu_tanh"}  # the node Gelu's `approximate`
_ACTIVATIONS = {"Erf": "gelu", "Tanh": "gelu_tanh", "Relu": "relu"}  # the node that tells


class Graph(NamedTuple):
    """What a graph holds.

    arrays: weights by the names of their modules' parameters, as torch has them.
    nodes: in the order of the computation.
    constants: arrays by the names that nodes know them by.
    """

    arrays: dict[str, np.ndarray]
    nodes: tuple[Any, ...]
    constants: dict[str, np.ndarray]


def read(file: str | Path) -> Graph:
    """The weights and the nodes of an ONNX file.

    Raises:
      ConfigError: no onnx, no such graph, weights in files of their own, or quantised ones.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("reading an ONNX file needs onnx: pip install 'm3i_jax[onnx]'") from error
    if not Path(file).is_file():  # a pipe would be waited for
        raise ConfigError(f"'{file}' is no ordinary file")
    try:
        graph = onnx.load(file, load_external_data=False).graph
    except Exception as error:  # protobuf's own, which differ between its versions
        raise ConfigError(f"'{file}' is no ONNX file: {error}") from error
    if not graph.node or not graph.initializer:
        raise ConfigError(f"'{file}' is no ONNX file of a network: it has no nodes or no weights")
    constants = {tensor.name: _array(tensor, file) for tensor in graph.initializer}
    held = {name for name, x in constants.items() if x.dtype.kind == "f"}
    for node in graph.node:
        value = next((a for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            constants[node.output[0]] = _array(value.t, file)
        elif node.op_type == "Identity" and node.input[0] in held:  # equal ones are kept once
            constants[node.output[0]] = constants[node.input[0]]
            held.add(node.output[0])
    nodes = tuple(graph.node)
    return Graph(_named({name: constants[name] for name in held}, nodes, file), nodes, constants)


def facts(graph: Graph, prefix: str, *, width: int) -> dict[str, Fact]:
    """What the nodes of one module show of a ViT: heads, eps and activation, where they agree.

    prefix: of the module's parameters, such as "backbone.".  width: of its tokens.
    """
    within = "/" + prefix.replace(".", "/")
    nodes = [n for n in graph.nodes if n.name.startswith(within) or "/" not in n.name]
    shown = {
        "heads": {heads for node in nodes for heads in _heads(node, graph.constants, width)},
        "eps": set(_eps(nodes, graph.constants)),
        "activation": set(_activations(nodes)),
    }
    where = "the nodes of the graph"
    return {name: Fact(seen.pop(), where) for name, seen in shown.items() if len(seen) == 1}


def _array(tensor: Any, file: str | Path) -> np.ndarray:
    """A tensor of the file as NumPy has it."""
    from onnx import TensorProto, numpy_helper

    kind, what = TensorProto.DataType.Name(tensor.data_type), f"'{file}' keeps '{tensor.name}'"
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ConfigError(f"{what} in another file; save it with all its weights in one")
    if kind in QUANTISED and np.prod(tensor.dims) > 1:
        raise ConfigError(
            f"{what} as {kind}, which is quantised; export the weights as float32 or float16"
        )
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # fewer bytes than the shape wants, an unknown type
        raise ConfigError(f"{what}, which cannot be read: {error}") from error
    return array.astype(np.float32) if kind in FLOATS else array


def _named(
    held: Mapping[str, np.ndarray], nodes: tuple[Any, ...], file: str | Path
) -> dict[str, np.ndarray]:
    """Arrays by the names of parameters: their own, or those that nodes show."""
    arrays = {name: x for name, x in held.items() if not _NAMELESS.fullmatch(name)}
    tables: dict[str, list[np.ndarray]] = {}
    for node, name in _uses(nodes, held):
        x = held[name]
        if node.op_type == "MatMul" and name == node.input[1] and x.ndim == 2:
            key, x = f"{_scope(node) or _beside_bias(node, nodes, held)}.weight", x.T
        elif x.ndim == 3 and x.shape[0] == 1 and node.op_type != "MatMul":
            tables.setdefault(_table(_scope(node)), []).append(x)
            continue
        elif x.size == 1:  # a number of some operation
            continue
        else:
            key = f"{_scope(node)}.{name}".lstrip(".")
        if key in arrays and arrays[key] is not held[name]:
            raise ConfigError(f"'{file}' has two weights that '{key}' may be")
        arrays[key] = x
    return arrays | {name: _joined(parts, name, file) for name, parts in tables.items()}


def _uses(nodes: tuple[Any, ...], held: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, str]]:
    """(node, operand) of what has no name, each operand by its first node."""
    seen: set[str] = set()
    for node in nodes:
        for name in node.input:
            if name in held and _NAMELESS.fullmatch(name) and name not in seen:
                seen.add(name)
                yield node, name


def _scope(node: Any) -> str:
    """The module of a node, "encoder.layer.0.mlp.fc1" of "/encoder/layer.0/mlp/fc1/MatMul"."""
    return node.name.strip("/").rpartition("/")[0].replace("/", ".")


def _beside_bias(node: Any, nodes: tuple[Any, ...], held: Mapping[str, np.ndarray]) -> str:
    """The module whose bias is added to what a node gives; the node's own name without one."""
    for other in nodes:
        if other.op_type == "Add" and node.output[0] in other.input:
            biases = (x for x in other.input if x in held and x.endswith(".bias"))
            return next(biases, node.name).removesuffix(".bias")
    return node.name


def _table(scope: str) -> str:
    """The name of the positions of a module: transformers' embeddings, or a ViT itself."""
    own = "position_embeddings" if scope.endswith("embeddings") else "pos_embed"
    return f"{scope}.{own}".lstrip(".")


def _joined(parts: list[np.ndarray], name: str, file: str | Path) -> np.ndarray:
    """The class token's row and those of the cells, where there are both, as one table."""
    row, *cells = parts = sorted(parts, key=lambda x: x.shape[1])
    if len(parts) > 2 or cells and row.shape[1] != 1:
        counts = ", ".join(str(x.shape[1]) for x in parts)
        raise ConfigError(f"'{file}' has tables of {counts} rows that may be parts of '{name}'")
    return np.concatenate(parts, 1)


def _heads(node: Any, constants: Mapping[str, np.ndarray], width: int) -> Iterator[int]:
    """The heads by which a node cuts tokens into (batch, tokens, heads, width / heads)."""
    heads = side = 0
    if node.op_type == "Concat" and len(node.input) >= 4:
        known = [constants.get(name) for name in node.input[-2:]]
        if all(x is not None and x.size == 1 for x in known):
            heads, side = (int(x.reshape(-1)[0]) for x in known)
    elif node.op_type == "Reshape" and len(node.input) == 2:
        shape = constants.get(node.input[1])
        if shape is not None and shape.size >= 4:
            heads, side = map(int, shape[-2:])
    if heads == -1 and 0 < side < width:  # what is left
        heads = width // side
    if heads > 0 and heads * side == width:
        yield heads


def _eps(nodes: list[Any], constants: Mapping[str, np.ndarray]) -> Iterator[float]:
    """What layer norms add to their variances, as one node or written out as √(σ² + eps)."""
    sums = {node.output[0]: node for node in nodes if node.op_type == "Add"}
    for node in nodes:
        if node.op_type == "LayerNormalization":
            yield _plain(next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5))
        elif node.op_type == "Sqrt" and node.input[0] in sums:
            added = (constants.get(name) for name in sums[node.input[0]].input)
            yield from (_plain(x.item()) for x in added if x is not None and x.size == 1)


def _plain(number: float) -> float:
    """A number as it was written, not as the nearest float32 is."""
    return float(str(np.float32(number)))


def _activations(nodes: list[Any]) -> Iterator[str]:
    for node in nodes:
        if node.op_type == "Gelu":
            yield _GELU[next((a.s for a in node.attribute if a.name == "approximate"), b"none")]
        elif node.op_type in _ACTIVATIONS:
            yield _ACTIVATIONS[node.op_type]

"""ONNX files: what has lost its name gets it from the nodes, and what nobody can name stops it."""

import os

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import conversion, importing, layouts, onnx_file
from m3i_jax.interop.rename import to_theirs

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

DINOV2 = layouts.lookup("dinov2_huggingface")
FRONT = "backbone."
LINEAR = ("query.weight", "key.weight", "value.weight", "dense.weight", "fc1.weight", "fc2.weight")
# Of an old exporter; a table that it has cut would have no module to be named by.
NAMELESS_NODES = {"scoped": False, "whole_table": True}
HEAD = {"decoder.conv.weight": np.ones((1, 16, 1, 1), np.float32)}  # of no use here


def exported(state, *, scoped=True, whole_table=False, more=(), heads=(4, 4), eps=1e-5):
    """A graph of these weights as torch's exporter leaves it; it is read, and never run."""
    arrays, nodes = {}, []

    def node(kind, *inputs, scope, **fields):
        name = f"/{scope.replace('.', '/')}/{kind}" if scoped else f"{kind}_{len(nodes)}"
        nodes.append(
            helper.make_node(kind, inputs, [f"{scope}/{kind}_{len(nodes)}"], name, **fields)
        )
        return nodes[-1].output[0]

    def constant(value, scope, dtype=np.float32):
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        return node("Constant", scope=scope, value=tensor)

    for key, x in state.items():
        scope, _, last = key.rpartition(".")
        if key.endswith(LINEAR):
            nameless = f"onnx::MatMul_{len(nodes)}"
            arrays[nameless] = np.ascontiguousarray(x.T)
            product = node("MatMul", "x", nameless, scope=scope)
            node("Add", f"{scope}.bias", product, scope=scope)
        elif key.endswith("position_embeddings") and not whole_table:
            arrays |= {"onnx::Reshape_1": x[:, 1:], "onnx::Concat_2": x[:, :1]}
            node("Reshape", "onnx::Reshape_1", "shape", scope=scope)
            node("Concat", "onnx::Concat_2", "x", scope=scope, axis=1)
        else:
            arrays[key] = x
            node("Add", key, "x", scope=scope)
    scope = f"{FRONT}encoder.layer.0.attention.attention"
    sides = [constant([n], scope, np.int64) for n in heads]
    node("Concat", "batch", "count", *sides, scope=scope, axis=0)
    shifted = node("Add", "x", constant(eps, scope), scope=f"{FRONT}encoder.layer.0.norm1")
    node("Sqrt", shifted, scope=f"{FRONT}encoder.layer.0.norm1")
    node("Erf", "x", scope=f"{FRONT}encoder.layer.0.mlp.activation")
    tensors = [numpy_helper.from_array(x, name) for name, x in arrays.items()]
    graph = helper.make_graph([*nodes, *more], "g", [], [], tensors)
    return helper.make_model(graph)


@pytest.fixture
def weights(drawn):
    """A small ViT in DINOv2's layout, ours and by the names of the module around it."""
    _, params = drawn(positions="learned", layer_scale=1.0)
    state, unknown = to_theirs(params, DINOV2)
    assert not unknown
    params = importing.renamed(state, what="the same").params
    return params, {FRONT + key: x for key, x in state.items()} | HEAD


@pytest.mark.parametrize("how", [{}, {"whole_table": True}, {"heads": (-1, 4)}, NAMELESS_NODES])
def test_weights_are_those_of_the_state_dict(weights, how, tmp_path, same):
    params, state = weights
    file = tmp_path / "vit.onnx"
    onnx.save(exported(state, **how), file)
    imported = importing.read(file)
    same(imported.params, params)
    assert imported.layout is DINOV2 and imported.dropped == ("decoder.conv.weight",)
    facts = imported.stated.fields()
    assert facts["heads"] == 4 and facts["eps"] == 1e-5 and facts["activation"] == "gelu"
    # So one command is enough: every size is shown.
    block = conversion.block(imported, "", {})
    assert block["width"] == 16 and block["depth"] == 2 and block["patch"] == 4
    _, report = conversion.encoder(imported, block)
    assert not report.missing and not report.extra
    assert any("left out, of no use here: decoder.conv.weight" in note for note in report.notes)
    assert not any("heads" in note for note in report.notes)


def test_equal_weights_that_are_kept_once_are_all_there(weights, tmp_path, same):
    params, state = weights
    first, second = (f"{FRONT}encoder.layer.{i}.norm1.bias" for i in (0, 1))
    state = state | {second: state[first]}
    model = exported({key: x for key, x in state.items() if key != second})
    model.graph.node.insert(0, helper.make_node("Identity", [first], [second]))
    onnx.save(model, tmp_path / "vit.onnx")
    found = importing.read(tmp_path / "vit.onnx").params["encoders/image/blocks/norm1/bias"]
    np.testing.assert_array_equal(found[0], found[1])


def test_heads_that_no_node_shows_are_a_guess(weights, tmp_path):
    _, state = weights
    model = exported(state)
    kept = [
        node for node in model.graph.node if node.op_type != "Concat" or "batch" not in node.input
    ]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, tmp_path / "vit.onnx")
    stated = importing.read(tmp_path / "vit.onnx").stated
    assert stated.notes == ("heads=1 is a guess: no node shows them",)


def test_half_precision_becomes_float32(weights, tmp_path, same):
    params, state = weights
    half = {key: x.astype(np.float16) for key, x in state.items()}
    onnx.save(exported(half), tmp_path / "vit.onnx")
    for path, x in importing.read(tmp_path / "vit.onnx").params.items():
        np.testing.assert_array_equal(x, params[path].astype(np.float16).astype(np.float32))


def of_tensor(tensor, **fields):
    node = helper.make_node("Add", ["x", tensor.name], ["y"], **fields)
    return helper.make_model(helper.make_graph([node], "g", [], [], [tensor])).SerializeToString()


def elsewhere():
    tensor = numpy_helper.from_array(np.zeros((2, 2), np.float32), "w")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return of_tensor(tensor)


def cut():
    tensor = numpy_helper.from_array(np.zeros((2, 2), np.float32), "w")
    tensor.raw_data = tensor.raw_data[:-3]
    return of_tensor(tensor)


def of_array(x, name="w"):
    return lambda: of_tensor(numpy_helper.from_array(x, name))


BROKEN = {
    "nothing": (lambda: b"", "no ONNX file of a network"),
    "text": (lambda: b"hello, I am no graph at all", "is no ONNX file"),
    "another network": (of_array(np.ones((2, 2), np.float32)), "no layout knows all 1 keys"),
    "weights elsewhere": (elsewhere, "keeps 'w' in another file"),
    "cut short": (cut, "keeps 'w', which cannot be read"),
    "quantised": (of_array(np.ones((2, 2), np.int8)), "keeps 'w' as INT8, which is quantised"),
    "no weights": (of_array(np.ones(4, np.int64)), "no layout knows all 0 keys"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_a_sentence(kind, tmp_path):
    content, said = BROKEN[kind]
    (tmp_path / "a.onnx").write_bytes(content())
    with pytest.raises(ConfigError, match=said):
        importing.read(tmp_path / "a.onnx")


def test_what_no_node_names_stops_it(weights, tmp_path):
    _, state = weights
    strange = helper.make_node("Mul", ["x", "onnx::Mul_77"], ["y"], "/backbone/encoder/layer.0/Mul")
    model = exported(state, more=[strange])
    model.graph.initializer.append(numpy_helper.from_array(np.ones(16, np.float32), "onnx::Mul_77"))
    onnx.save(model, tmp_path / "vit.onnx")
    with pytest.raises(ConfigError, match=r"does not know encoder\.layer\.0\.onnx::Mul_77"):
        importing.read(tmp_path / "vit.onnx")


def test_two_claims_to_a_name_are_refused(weights, tmp_path):
    _, state = weights
    twice = helper.make_node(
        "MatMul", ["x", "onnx::MatMul_99"], ["y"], "/backbone/encoder/layer.0/mlp/fc1/MatMul"
    )
    model = exported(state, more=[twice])
    tensor = numpy_helper.from_array(np.ones((16, 64), np.float32), "onnx::MatMul_99")
    model.graph.initializer.append(tensor)
    onnx.save(model, tmp_path / "vit.onnx")
    with pytest.raises(ConfigError, match="two weights that .*mlp.fc1.weight' may be"):
        importing.read(tmp_path / "vit.onnx")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match="no ordinary file"):
        onnx_file.read(tmp_path / "a.onnx")


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'm3i_jax\[onnx\]'"):
        onnx_file.read(tmp_path / "a.onnx")

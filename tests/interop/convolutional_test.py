"""Convolutional encoders: names and shapes as torchvision's and RepLKNet's programs have them."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import conversion, convolutional, layouts
from m3i_jax.interop.rename import sort, to_ours, to_theirs

STATISTICS = ("weight", "bias", "running_mean", "running_var")


def bn(name, width):
    return {f"{name}.{part}": (width,) for part in STATISTICS}


def test_torchvisions_resnet(drawn):
    _, params = drawn("resnet50", depths=(1, 2), width=4, image=32)
    want = {"conv1.weight": (4, 3, 7, 7)} | bn("bn1", 4)
    into = 4
    for stage, depth in enumerate((1, 2)):
        for j in range(depth):
            name, width = f"layer{stage + 1}.{j}", 4 * 2**stage
            layers = ((width, into, 1), (width, width, 3), (4 * width, width, 1))
            for k, (out, given, size) in enumerate(layers, 1):
                want |= {f"{name}.conv{k}.weight": (out, given, size, size)}
                want |= bn(f"{name}.bn{k}", out)
            if j == 0:
                want |= {f"{name}.downsample.0.weight": (4 * width, into, 1, 1)}
                want |= bn(f"{name}.downsample.1", 4 * width)
            into = 4 * width
    state, unknown = to_theirs(params, convolutional.RESNET)
    assert not unknown and {name: x.shape for name, x in state.items()} == want


def test_the_counter_and_the_head_go(example):
    _, params = example("resnet")
    state, _ = to_theirs(params, convolutional.RESNET)
    more = ["fc.weight", "bn1.num_batches_tracked"]
    found, places = layouts.recognise([*state, *more], what="it")
    assert found is convolutional.RESNET and list(places.dropped) == more


# What stands in front of the encoder's names in a checkpoint, and the parts behind it.
PROGRAMS = {
    "simsiam": (
        "encoder.",
        ["encoder.fc.0.weight", "encoder.fc.7.running_var", "predictor.3.bias"],
    ),
    "swav": ("", ["projection_head.1.running_mean", "prototypes.weight"]),
    "swav, many": ("", ["projection_head.3.bias", "prototypes.prototypes2.weight"]),
    "vicreg": ("backbone.", ["projector.0.weight", "projector.6.weight"]),
    "vicreg's backbone": ("", []),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_encoders_of_joint_embeddings_by_the_names_of_their_programs(program, drawn, tmp_path):
    """As their trainers save them, behind the prefix of a wrapper: value for value."""
    torch = pytest.importorskip("torch")
    prefix, heads = PROGRAMS[program]
    fields = dict(depths=(1, 1), width=4, image=32)
    _, params = drawn("resnet50", **fields)
    state, _ = to_theirs(params, convolutional.RESNET)
    whole = {prefix + name: x for name, x in state.items()}
    whole |= {name: np.ones((2, 2), np.float32) for name in heads}
    tensors = {f"module.{name}": torch.from_numpy(x.copy()) for name, x in whole.items()}
    file = tmp_path / "checkpoint.pth.tar"
    torch.save({"epoch": 3, "state_dict": tensors, "optimizer": {"state": {}}}, file)
    imported = conversion.read(file, torch=True)
    assert imported.layout is convolutional.RESNET and set(imported.dropped) == set(heads)
    block = dict(name="resnet50", **fields)
    found, report = conversion.encoder(imported, block)
    assert not report.missing and not report.extra and found.keys() == params.keys()
    for path, x in params.items():
        np.testing.assert_array_equal(found[path], x, err_msg=path)
    # Of a block that no encoder of ours has, a name is said.
    tensors[f"module.{prefix}layer1.0.se.fc1.weight"] = torch.ones(2, 2)
    torch.save({"state_dict": tensors}, file)
    with pytest.raises(ConfigError, match=r"layer1\.0\.se\.fc1\.weight"):
        conversion.read(file, torch=True)


def pair(name, out, given, size):
    return {f"{name}.conv.weight": (out, given, size, size)} | bn(f"{name}.bn", out)


def replknet(merged):
    """Keys and shapes of the official code for channels 8, 16, one unit each, kernels 7 and 5."""
    want = {}
    for i, (given, size) in enumerate(((3, 3), (1, 3), (8, 1), (1, 3))):
        want |= pair(f"stem.{i}", 8, given, size)
    for i, (width, size) in enumerate(((8, 7), (16, 5))):
        large, mlp = (f"stages.{i}.blocks.{j}" for j in range(2))
        want |= bn(f"{large}.prelkb_bn", width)
        want |= pair(f"{large}.pw1", width, width, 1) | pair(f"{large}.pw2", width, width, 1)
        kernel = f"{large}.large_kernel"
        if merged:
            want |= {f"{kernel}.lkb_reparam.weight": (width, 1, size, size)}
            want |= {f"{kernel}.lkb_reparam.bias": (width,)}
        else:
            want |= pair(f"{kernel}.lkb_origin", width, 1, size)
            want |= pair(f"{kernel}.small_conv", width, 1, 3)
        want |= bn(f"{mlp}.preffn_bn", width)
        want |= pair(f"{mlp}.pw1", 4 * width, width, 1) | pair(f"{mlp}.pw2", width, 4 * width, 1)
    want |= pair("transitions.0.0", 16, 8, 1) | pair("transitions.0.1", 16, 1, 3)
    return want | bn("norm", 16)


@pytest.mark.parametrize("merged", [False, True])
def test_replknet_of_the_official_keys_is_our_encoder(merged, drawn, same):
    fields = dict(channels=(8, 16), depths=(1, 1), kernels=(7, 5), small_kernel=3, image=32)
    module, params = drawn("replknet_31b", merged=merged, **fields)
    rng = np.random.default_rng(0)
    state = {n: rng.normal(size=s).astype(np.float32) for n, s in replknet(merged).items()}
    found, places = layouts.recognise([*state, "head.weight"], what="it")
    assert found.name == ("replknet_merged" if merged else "replknet")
    ours = to_ours(state, sort(state, found))
    assert {p: x.shape for p, x in ours.items()} == {p: x.shape for p, x in params.items()}
    back, unknown = to_theirs(ours, found)
    assert not unknown
    same(back, state)

"""Sentences of refusal that no other test meets, of runs, weights and measures, each once."""

import importlib
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from absl import flags

from m3i_jax import command_flags, config_file, encoders, methods
from m3i_jax.analysis import repair
from m3i_jax.checkpoints import weights
from m3i_jax.data.sources import (
    arrays,
)
from m3i_jax.decoders import transformer
from m3i_jax.evaluation import cache, foreign_text
from m3i_jax.evaluation.probes import grid
from m3i_jax.interop import (
    beside,
    beside_open_clip,
    beside_transformers,
    describe,
    describe_needs,
    describe_transformers,
    importing,
    onnx_file,
)
from m3i_jax.nn import windows
from m3i_jax.parallel import processes
from m3i_jax.training import (
    agreement,
    assemble,
    reading,
    trackers,
)
from m3i_jax.training.config import Config
from m3i_jax.training.planning import forecast
from m3i_jax.types import Features
from tests.refusals import config, named, refused

TRAINING = {
    "sums": (
        lambda at: agreement._check_sums(config(mesh={"sums": "bfloat16"}, dtype="float32")),
        "config.mesh.sums is bfloat16, but config.dtype is float32",
    ),
    "cells": (
        lambda at: agreement._check_sides(
            SimpleNamespace(image=1000, crops={}, monitor={}),
            methods.mae(),
            SimpleNamespace(towers={"image": SimpleNamespace(grid=(1000, 1000), patch=1)}),
        ),
        "cells, expected at most",
    ),
    "parameters": (lambda at: too_many(), "the network has"),
    "a head": (lambda at: assemble.check(headless("byol", "projector", out=None)), "needs 'out'"),
    "its width": (
        lambda at: assemble.check(headless("byol", "predictor", out=3)),
        "wants it to predict",
    ),
    "what follows": (lambda at: assemble.check(following()), "which has no 'out'"),
    "a share": (lambda at: unreadable(), "expected a share of 1"),
    "a tracker": (lambda at: not_installed(), "which is not installed: pip install"),
    "a flag": (lambda at: no_value(), "lacks its value"),
    "a loopback": (lambda at: loopback(), "is this machine alone, but"),
    "alone": (lambda at: alone(), "this cannot be one process of many"),
    "micro-batches": (
        lambda at: forecast.layout_of(config(batch=6), 4),
        "a batch of 6 does not divide over 4 devices and micro-batches",
    ),
}

AIMV2 = dict(class_token=False, norm="rms", block_bias=False, patch_norm=True, gated=True)

INTEROP = {
    "stages": (
        lambda at: describe._timm_resnet(SimpleNamespace(stem="imagenet", width=64, depths=(1, 1))),
        "timm's ResNet has four stages",
    ),
    "shift": (
        lambda at: describe_needs.check_windows(
            SimpleNamespace(final_norm=True, shift=False), "theirs"
        ),
        "is an encoder with shift=True",
    ),
    "padding": (
        lambda at: describe_needs.check_windows(
            swin(cut=windows.fit((7, 7), 4, shift=True)), "theirs"
        ),
        "attends to padding",
    ),
    "windows": (
        lambda at: describe_transformers.swin(swin(window=(4, 8))),
        "has windows of one size",
    ),
    "oblong": (
        lambda at: describe_transformers.swin(
            swin(window=4, cut=windows.fit((4, 2), 4, shift=True))
        ),
        "has square windows",
    ),
    "ratio": (
        lambda at: describe_transformers.dinov2(vit(width=48, mlp_ratio=1.5, qkv_bias=True)),
        "has a whole mlp_ratio",
    ),
    "squares": (
        lambda at: describe_transformers.clip(
            vit(patch_bias=False, pre_norm=True, qkv_bias=True, size=(32, 64))
        ),
        "'clip_vision_model' sees squares, not (32, 64)",
    ),
    "squares of AIMv2": (
        lambda at: describe_transformers.aimv2(vit(**AIMV2, qkv_bias=False, size=(32, 64))),
        "'aimv2_vision_model' sees squares, not (32, 64)",
    ),
    "an encoder": (lambda at: no_encoder(), "there is no encoder"),
    "text": (lambda at: beside_open_clip._text(3), "expected an object"),
    "options": (
        lambda at: beside_open_clip._options({"act_kwargs": 3}, "act_kwargs"),
        "expected an object",
    ),
    "both": (
        lambda at: beside_transformers._relative_bias(
            beside_transformers.BEIT,
            {"use_relative_position_bias": True, "use_shared_relative_position_bias": True},
            "",
        ),
        "are both on; ours has one",
    ),
    "only": (
        lambda at: beside_transformers._stated(
            beside_transformers.BEIT._replace(only={"act": "gelu"}), {"act": "relu"}, "its "
        ),
        "and our encoders of that kind have 'gelu'",
    ),
    "tables": (
        lambda at: onnx_file._joined(
            [np.zeros((1, n, 4)) for n in (1, 4, 9)], "pos_embed", "a.onnx"
        ),
        "that may be parts of 'pos_embed'",
    ),
    "channels": (lambda at: channels(at), "has weights for images of 3 channels, and 4"),
    "heads": (lambda at: two_heads(at), "has no decoder 'category'"),
}


EVALUATION = {
    "no file": (
        lambda at: foreign_text.with_text(SimpleNamespace(name=str(at)), what="zero-shot"),
        "reads texts by a file of weights",
    ),
    "cache": (lambda at: changed(at), "was changed while it was written"),
    "components": (lambda at: thin(), "have no three components"),
    "labels": (
        lambda at: grid._all(
            SimpleNamespace(
                judged=lambda *_: [(np.zeros((0, 3)), np.zeros(0))],
                sight=SimpleNamespace(place=lambda x: x),
            ),
            "test",
            None,
            None,
            "heads",
        ),
        "has a label",
    ),
    "repair": (lambda at: nothing_to_show(), "images to show can be read"),
    "class token": (
        lambda at: transformer.Projector(heads=2).init(
            jax.random.key(0), Features(np.zeros((1, 4, 8)), None)
        ),
        "the projector has class_token",
    ),
    "sides": (
        lambda at: encoders.create("vit_ti16", positions="rope", rope="capi", registers=3).check(),
        "registers is 3, and rope='capi' has as many along each of 4 sides",
    ),
    "fused": (
        lambda at: encoders.create("internimage_t", depths=(2,), fused=64).check(),
        "expected the width of a map",
    ),
    "compressed": (
        lambda at: arrays._require_small(
            arrays.Place(at / "a.npz", "x"), SimpleNamespace(file_size=2**40)
        ),
        "would be unpacked at every start",
    ),
}


def headless(method, decoder, *, out):
    """A config of a method, one of whose decoders has another width, or none."""
    data = config_file.load(f"digit_scenes/{method}").to_dict()
    data["decoders"][decoder].pop("out", None)
    data["decoders"][decoder] |= {} if out is None else {"out": out}
    return Config.of(data)


def following():
    """A config with a head behind a decoder that has no width of its own."""
    data = config_file.load("digit_scenes/mae").to_dict()
    data["decoders"]["paint"] = data["decoders"]["image"]
    data["decoders"]["more"] = dict(name="mlp", out=8, input="paint")
    return Config.of(data)


def no_value():
    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "A file.", flag_values=values)
    command_flags.check(["m3i", "--out", "--show"], flag_values=values)


def too_many():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "MOST", 10)
        assemble.shapes(assemble.check(config()))


def unreadable():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading.data, "source", lambda *_, **__: None)
        reading.read(SimpleNamespace(data={}, unreadable=3), ".", split="train")


def not_installed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
        trackers.require(["wandb"])


def loopback():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "HOSTS", [("SLURM_JOB_NUM_NODES", lambda value: value == "2")])
        patch.setenv("SLURM_JOB_NUM_NODES", "2")
        processes.join(coordinator="localhost:1", processes=2, process=0)


def alone():
    def refuse(*_, **__):
        raise ValueError("no coordinator")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.distributed, "initialize", refuse)
        processes.join(coordinator=None, processes=None, process=None)


def swin(*, window=4, cut=None):
    fields = dict(final_norm=True, shift=True, window=window, depths=(1, 1), width=8)
    return SimpleNamespace(**fields, windows=lambda: [] if cut is None else [cut])


def vit(**changes):
    fields = dict(
        class_token=True,
        final_norm=True,
        patch_bias=True,
        pre_norm=False,
        relative_bias="none",
        positions="learned",
        width=48,
        mlp_ratio=4.0,
        size=(32, 32),
        gated=False,
        norm="layer",
        block_bias=True,
        window=0,
        qk_norm="none",
        inner_norm="none",
        rope="dinov3",
        hide="drop",
        registers=0,
    )
    return SimpleNamespace(**fields | changes)


def no_encoder():
    def create(*_, **__):
        raise ZeroDivisionError("no heads")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beside.encoders, "create", create)
        beside.create({"name": "vit_b16"})


def channels(at):
    imported = SimpleNamespace(
        params={importing.STEM + "/kernel": np.zeros((2, 2, 3, 4))}, path=at, stated=None
    )
    fact = SimpleNamespace(value=4, where="its file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing.beside, "read", lambda *_, **__: SimpleNamespace(channels=fact))
        importing.with_stated(imported, at)


def two_heads(at):
    params = {f"decoders/{name}/fc/kernel": np.zeros((2, 2)) for name in ("a", "b")}
    imported = SimpleNamespace(params=params, path=at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights.importing, "read", lambda *_, **__: imported)
        weights.load_file_heads(at, {"category": {}})


def changed(at):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("read", None), ("_write", None), ("_publish", None), ("_sweep", None)):
            patch.setattr(cache, name, lambda *_, value=value: value)
        cache.kept(at, {"of": 1}, lambda: None)


def thin():
    tower = SimpleNamespace(grid=(1, 1))
    model = SimpleNamespace(network=SimpleNamespace(towers={"image": tower}))
    shown = SimpleNamespace(features=np.zeros((1, 2)), images=[0])
    pca = importlib.import_module("m3i_jax.analysis.measures.pca")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pca.images, "spread", lambda *_: [0])
        patch.setattr(pca.images, "seen", lambda *_, **__: shown)
        pca.pca().measure(SimpleNamespace(model=model, seeing=lambda of: None), None)


def nothing_to_show():
    rows = SimpleNamespace(real=np.zeros(3, bool))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair.cim, "batches", lambda *_, **__: iter([rows]))
        repair.observe(None)


ALL = named(training=TRAINING, interop=INTEROP, evaluation=EVALUATION)


@pytest.mark.parametrize("name", ALL)
def test_it_is_refused_with_a_sentence(name, tmp_path):
    refused(ALL[name], tmp_path)

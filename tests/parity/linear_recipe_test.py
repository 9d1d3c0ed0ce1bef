"""Linear probing of a ResNet is torch's: the encoder by eval(), its head by LARS, step by step."""

import dataclasses

import jax
import numpy as np
import pytest

from m3i_jax import cli, trees
from m3i_jax.interop.rename import nested
from m3i_jax.parallel import sharding
from m3i_jax.training import fine_tuning
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.types import Batch
from tests.parity.resnet_test import draw, resnet_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DEPTHS, BATCH, STEPS, CLASSES = (1, 1), 16, 4, 5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE = "encoders/image/"


def peer():
    """transformers' ResNet with drawn norms, and its weights in our names."""
    sizes = dict(embedding_size=8, hidden_sizes=[32, 64], depths=list(DEPTHS))
    model = transformers.ResNetModel(transformers.ResNetConfig(layer_type="bottleneck", **sizes))
    return model, resnet_params(draw(model), DEPTHS, "bottleneck")


def assembled():
    block = dict(name="resnet_nano", image=32, depths=DEPTHS, width=8, block="bottleneck")
    block["stem"] = "imagenet"
    origin = fine_tuning.Origin("x", "online", block, {})
    recipe = cli.load("finetune/linear_vit_b16").to_dict()
    how = dict(size=CLASSES, batch=BATCH, lr=20.0)
    made = fine_tuning.config(recipe, origin, {"name": "digit_scenes"}, **how)
    return assemble(
        Config.of(made | {"init_from": {}, "warmup": "0 steps", "dtype": "float32"}),
        images=4 * BATCH,
    )


def begun(run, encoder):
    """The state of the run with the weights of an encoder."""
    state = jax.jit(run.make)(jax.random.key(3))
    leaves = dict(trees.named_leaves(state.params))
    leaves |= {IMAGE + path: x for path, x in trees.named_leaves(encoder)}
    params = nested({path: np.asarray(x) for path, x in leaves.items()})
    return dataclasses.replace(state, params=params)


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        images = rng.integers(0, 256, (BATCH, 32, 32, 3)).astype(np.uint8)
        boxes = np.tile(np.array([0, 0, 32, 32, 0, 32], np.float32), (BATCH, 1))
        yield Batch({"a": images}, {"a": boxes}, rng.integers(0, CLASSES, BATCH).astype(np.int32))


def ours(run, state):
    step, norms = jax.jit(run.step()), []
    with jax.set_mesh(run.mesh):
        for batch in batches():
            state, metrics = step(state, sharding.put(batch, run.mesh))
            norms.append(float(metrics["optim/grad_norm"]))
    return dict(trees.named_leaves(jax.device_get(state.params))), norms


def theirs(model, run, state):
    """The same steps in float64: v ← .9 v + g · .001 |w|/|g|, w ← w − rate · v, no ratio of b."""
    model = model.double().eval()
    norm = torch.nn.BatchNorm1d(64, eps=1e-6, affine=False, dtype=torch.float64)
    table = state.params["encoders"]["category"]
    w, b = (torch.tensor(np.asarray(table[n], np.float64)) for n in ("kernel", "bias"))
    w.requires_grad_(), b.requires_grad_()
    memory, norms = [torch.zeros_like(w), torch.zeros_like(b)], []
    for number, batch in enumerate(batches()):
        x = (batch.images["a"] / 255.0 - MEAN) / STD
        with torch.no_grad():
            map_ = model(torch.tensor(x.transpose(0, 3, 1, 2))).last_hidden_state
        scores = norm(map_.mean((2, 3))) @ w.T + b
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(batch.label).long())
        grads = torch.autograd.grad(loss, (w, b))
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
        ratio = 0.001 * w.norm() / grads[0].norm()
        with torch.no_grad():
            for leaf, v, g in zip((w, b), memory, (grads[0] * ratio, grads[1]), strict=True):
                v.mul_(0.9).add_(g)
                leaf -= float(run.of_length(run.total, run.warmup).schedule(number)) * v
    return w.detach().numpy(), b.detach().numpy(), norm, norms


def test_a_frozen_resnet_is_asked_by_what_it_remembers():
    model, encoder = peer()
    run = assembled()
    assert run.network.batchwise == {"category"}
    state = begun(run, encoder)
    start = np.asarray(state.params["encoders"]["category"]["kernel"])
    found, norms = ours(run, state)
    for path, leaf in trees.named_leaves(encoder):
        np.testing.assert_array_equal(found[IMAGE + path], leaf, err_msg=path)
    w, b, norm, right = theirs(model, run, begun(run, encoder))
    # Float32 through a ResNet whose features are of about 1, against float64.
    np.testing.assert_allclose(found["encoders/category/kernel"], w, rtol=0, atol=2e-6)
    np.testing.assert_allclose(found["encoders/category/bias"], b, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found["decoders/category/norm/mean"], norm.running_mean, rtol=1e-4)
    np.testing.assert_allclose(found["decoders/category/norm/var"], norm.running_var, rtol=1e-4)
    # Of the head alone: nobody needs the gradient of what is frozen.
    np.testing.assert_allclose(norms, right, rtol=1e-4)
    assert abs(w - start).max() > 1e-4 and abs(b).max() > 1e-2


def test_an_encoder_of_which_a_part_trains_goes_by_the_batch():
    plain = assembled().config.to_dict()
    plain["optimizer"] |= {"freeze": "^encoders/image/stages_0/"}
    assert assemble(Config.of(plain), images=64).network.batchwise == {"category", "image"}

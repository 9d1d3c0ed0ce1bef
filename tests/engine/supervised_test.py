"""CLIP, SigLIP and CapPa through the whole engine, against float64."""

import functools
import itertools
import math

import jax
import networks64 as net
import numpy as np
import optimizers64 as optimizers
import pytest
import torch
import torch.nn.functional as F
from flax import linen as nn
from replay64 import replay

from m3i_jax.framework.keys import named

# Of the average that is kept for evaluation.
AVERAGE = {"average.momentum": 0.9, "average.end": 0.9}


def pairs(params, batch):
    """Unit codes of the images and texts that are there, and the decoder's own parameters."""
    there = (batch.text != 0).any(1)
    images = net.images(batch.images["a"][there])
    x = net.vit(params["encoders"]["image"], images, patch=8, heads=2)
    head = params["decoders"]["text"]
    text = net.clip_text(params["encoders"]["text"], batch.text[there], heads=2)
    return net.unit(net.linear(head["head"], x)), net.unit(text), head


def clip(params, ema, slots, batch, online, average):
    """CLIP (Radford et al. 2021): the mean of both directions among the pairs."""
    x, y, head = pairs(params, batch)
    logits, own = head["unit"]["logit_scale"].exp() * x @ y.T, torch.arange(len(x))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2, slots


def siglip(params, ema, slots, batch, online, average):
    """SigLIP (Zhai et al. 2023, eq. 2): a sigmoid for every pair, over the number of images."""
    x, y, head = pairs(params, batch)
    logits = head["unit"]["logit_scale"].exp() * x @ y.T + head["logit_bias"]
    signs = 2 * torch.eye(len(x)) - 1
    return -F.logsigmoid(signs * logits).sum() / len(x), slots


SCALE = "decoders/text/unit/logit_scale"
# As it starts; and where the momentum carries the logarithm of the scale beyond either end.
STARTS = {
    "inside": {},
    "at 100": {f"params/{SCALE}": 4.6045, f"mu/{SCALE}": -1000.0},
    "at 1": {f"params/{SCALE}": 4e-4, f"mu/{SCALE}": 3.0},
}


@pytest.mark.parametrize("start", STARTS)
def test_clip_is_that_of_slip(play, same, start):
    """No decay of what has one dimension; the scale is cut to [1, 100] behind every step."""
    played = play("yfcc/clip_vit_b16", state=STARTS[start], **AVERAGE)
    rate = optimizers.cosine(peak=5e-4, start=1e-6, end=1e-5, total=50, warmup=2, top=1)
    wide = lambda p: played.params[p].ndim - ("/blocks/" in p) > 1  # noqa: E731
    adamw = optimizers.AdamW(rate, played.moments, b1=0.9, b2=0.98, decay=0.5, decays=wide)
    cut = [("logit_scale", 0.0, math.log(100))]
    expected = replay(played, clip, adamw, momentum=lambda t: 0.9, limits=cut)
    same(played, expected)
    ends = {"inside": None, "at 100": math.log(100), "at 1": 0.0}[start]
    assert ends is None or expected[0].params[SCALE] == ends


@pytest.mark.parametrize("scale", [2.3, 4.75])
def test_siglip_is_that_of_the_paper(play, same, scale):
    """Kernels decay by 1e-4 beside the rate of 1e-3; the scale grows beyond 100 where it will."""
    played = play("yfcc/siglip_vit_b16", state={f"params/{SCALE}": scale}, **AVERAGE)
    rate = optimizers.cosine(peak=1e-3, total=50, warmup=2)
    kernels = dict(decay=1e-4 / 1e-3, decays=lambda p: p.endswith("kernel"))
    adamw = optimizers.AdamW(rate, played.moments, b1=0.9, b2=0.95, clip=1.0, **kernels)
    same(played, replay(played, siglip, adamw, momentum=lambda t: 0.9))


class Draw(nn.Module):
    """The first key that a module draws."""

    @nn.compact
    def __call__(self):
        return self.make_rng("draw")


def cappa(played, share):
    """CapPa (Tschannen et al. 2023): words from those in front of them, or from the image alone."""
    steps = itertools.count(played.start)
    tanh = functools.partial(F.gelu, approximate="tanh")

    def loss(params, ema, slots, batch, online, average):
        key = named(jax.random.fold_in(jax.random.key(0), next(steps)), "decode/caption")
        drawn = jax.random.bernoulli(Draw().apply({}, rngs={"draw": key}), share, (8,))
        at_once = torch.tensor(np.asarray(drawn))
        assert 0 < at_once.sum() < 8
        image = tokens(params["encoders"]["image"], batch.images["a"], tanh)
        p, words = params["decoders"]["caption"], torch.as_tensor(batch.text, dtype=torch.long)
        inputs = torch.where(at_once[:, None], 64, F.pad(words[:, :-1], (1, 0)))
        mask = torch.ones(8, 8).tril().bool() | at_once[:, None, None, None]
        y = p["token_embed"][inputs] + p["pos_embed"]
        for i in range(2):
            at = lambda part, i=i: p[f"blocks_{i}_{part}"]  # noqa: E731
            x = scaled(at("norm_words"), y)
            y = y + read(at, "words", x, x, mask)
            y = y + read(at, "image", scaled(at("norm_image"), y), image)
            x = net.linear(at("fc1"), scaled(at("norm_mlp"), y))
            y = y + net.linear(at("fc2"), tanh(x))
        y = net.linear(p["head"], net.layer_norm(p["norm"], y, 1e-6))
        values = F.cross_entropy(y.transpose(1, 2), words, reduction="none")
        there = (words != 0).double()
        rows = (values * there).sum(1) / there.sum(1).clamp(min=1)
        return rows.sum() / (there.sum(1) > 0).sum(), slots

    return loss


def tokens(p, uint8, activation, patch=8):
    """The tokens of a ViT without a class token, of pixels from −1 to 1."""
    x = torch.as_tensor(uint8, dtype=torch.float64) / 127.5 - 1
    x = x.reshape(8, 4, patch, 4, patch, 3).permute(0, 1, 3, 2, 4, 5).reshape(8, 16, -1)
    x = net.linear(p["patch_embed"], x) + p["pos_embed"]
    x = net.blocks(p["blocks"], x, heads=2, eps=1e-6, activation=activation)
    return net.layer_norm(p["norm"], x, 1e-6)


def scaled(p, x):
    """A layer norm without bias."""
    return F.layer_norm(x, x.shape[-1:], p["scale"], None, 1e-6)


def read(at, part, x, y, mask=None):
    """Attention of two heads from x to y, without biases."""
    q, k, v = (
        (z @ at(f"{part}_{role}")["kernel"]).unflatten(-1, (2, -1)).transpose(1, 2)
        for role, z in zip("qkv", (x, y, y), strict=True)
    )
    z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return z.transpose(1, 2).flatten(2) @ at(f"{part}_proj")["kernel"]


def test_cappa_is_that_of_the_paper(play, same):
    """One caption is missing; half of the others are predicted at once."""
    small = dict(name="caption", width=16, depth=2, heads=2, length=8, parallel=0.5)
    changes = {"decoders.caption": small, "objective.words": 64}
    played = play("yfcc/cappa_vit_b16", **AVERAGE, **changes)
    rate = optimizers.cosine(peak=1e-3, total=played.run.total, warmup=10000)
    kernels = dict(decay=1e-4 / 1e-3, decays=lambda p: p.endswith("kernel"))
    adamw = optimizers.AdamW(rate, played.moments, b1=0.9, b2=0.999, clip=1.0, **kernels)
    same(played, replay(played, cappa(played, 0.5), adamw, momentum=lambda t: 0.9))

"""CLIP and SigLIP through the whole engine, against float64."""

import math

import networks64 as net
import optimizers64 as optimizers
import pytest
import torch
import torch.nn.functional as F
from replay64 import replay

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

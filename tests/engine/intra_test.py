"""Methods that predict a view from itself, through the whole engine, against float64."""

import itertools
import math

import jax
import networks64 as net
import numpy as np
import optimizers64 as optimizers
import torch
import torch.nn.functional as F
from replay64 import nested, replay, tensors

from m3i_jax import masks
from m3i_jax.framework.keys import named

AVERAGE = {"average.momentum": 0.9, "average.end": 0.9}


def drawn(played, draw, *, name="x"):
    """What a mask draws in each step of the run, an iterator."""
    for step in itertools.count(played.start):
        key = named(jax.random.fold_in(jax.random.key(0), step), f"mask/{name}")
        yield jax.tree.map(np.asarray, draw(key))


def tower(p, x, visible, *, patch=8, heads=2, classed=False):
    """(B, 3, H, W) -> patch tokens (B, n, D), with mask tokens in the hidden cells if `p` has one.

    classed: behind the class token.

    visible: (B, h, w) bool; where `p` has no mask token, hidden cells are left out.
    """
    b, _, h, w = x.shape
    grid = h // patch, w // patch
    x = x.reshape(b, 3, grid[0], patch, grid[1], patch).permute(0, 2, 4, 3, 5, 1)
    x = net.linear(p["patch_embed"], x.reshape(b, grid[0] * grid[1], -1))
    seen = torch.as_tensor(np.array(visible)).reshape(b, -1)
    if "mask_token" in p:
        x = torch.where(seen[..., None], x, p["mask_token"])
    table = p["pos_embed"][0] if "pos_embed" in p else net.sincos(grid, x.shape[-1])
    first = len(table) - x.shape[1]
    x = x + table[-x.shape[1] :]
    if "mask_token" not in p:
        x = x[seen].reshape(b, -1, x.shape[-1])
    if "cls_token" in p:
        x = torch.cat([(p["cls_token"] + table[:first]).expand(b, -1, -1), x], 1)
    x = net.blocks(p["blocks"], x, heads=heads, eps=1e-6, activation=F.gelu)
    x = net.layer_norm(p["norm"], x, 1e-6) if "norm" in p else x
    return x[:, 1:] if "cls_token" in p and not classed else x


def edges(x, patch, cell):
    """(B, 3, H, W) -> (B, h·w, 27 k²): histograms of gradients of the cells of a patch."""
    b, _, h, w = x.shape
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).double()
    wide = F.pad(x, (1, 1, 1, 1), mode="reflect")
    slopes = [F.conv2d(wide, k.expand(3, 1, 3, 3), groups=3) for k in (sobel, sobel.T)]
    across, down = (torch.where(s.abs() < 1e-5, 0.0, s) for s in slopes)
    bins = (torch.atan2(across, down) / torch.pi * 9).floor().long() % 9
    votes = F.one_hot(bins, 9).permute(0, 1, 4, 2, 3) * torch.hypot(across, down)[:, :, None]
    sums = votes.reshape(b, 3, 9, h // cell, cell, w // cell, cell).sum((4, 6))
    cells, k = F.normalize(sums, dim=2), patch // cell
    parts = cells.reshape(b, 3, 9, h // patch, k, w // patch, k).permute(0, 3, 5, 1, 2, 4, 6)
    return parts.reshape(b, (h // patch) * (w // patch), -1)


def pixio(played):
    """Pixio (Yang et al. 2025): MAE's loss, over squares of patches."""
    draw = lambda key: masks.units(key, 8, (4, 4), 0.75, unit=2)  # noqa: E731
    seen = drawn(played, draw)

    def loss(params, ema, slots, batch, online, average):
        visible, images = next(seen), net.images(batch.images["a"])
        head, shown = params["decoders"]["image"], torch.tensor(visible.reshape(8, -1))
        x = tower(params["encoders"]["image"], images, visible, classed=True)
        x = net.linear(head["embed"], x)
        cells = head["mask_token"].expand(8, 16, -1).clone()
        cells[shown] = x[:, 1:].reshape(-1, x.shape[-1])
        x = torch.cat([x[:, :1], cells], 1) + net.sincos((4, 4), x.shape[-1])
        x = net.blocks(head["blocks"], x, heads=2, eps=1e-6, activation=F.gelu)
        x = net.linear(head["head"], net.layer_norm(head["norm"], x[:, 1:], 1e-6))
        y = images.reshape(8, 3, 4, 8, 4, 8).permute(0, 2, 4, 3, 5, 1).reshape(8, 16, -1)
        y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True) + 1e-6).sqrt()
        return F.mse_loss(x[~shown], y[~shown]), slots

    return loss


def maskfeat(played):
    """MaskFeat (Wei et al. 2022): mean squared error of histograms of hidden patches."""
    seen = drawn(played, lambda key: masks.blockwise(key, 8, (4, 4), 0.4, least=15))

    def loss(params, ema, slots, batch, online, average):
        visible, images = next(seen), net.images(batch.images["a"])
        x = net.linear(
            params["decoders"]["edges"]["head"], tower(params["encoders"]["image"], images, visible)
        )
        hidden = torch.as_tensor(~visible.reshape(len(visible), -1))
        return F.mse_loss(x[hidden], edges(images, 8, 4)[hidden]), slots

    return loss


def one_dimensional(path):
    return path.rpartition("/")[2] in ("bias", "scale")


def test_pixio_is_that_of_its_paper(play, same):
    small = {"decoders.image": dict(name="infill", width=16, depth=2, heads=2), "objective.unit": 2}
    played = play("imagenet/pixio_vit_b16", **AVERAGE, **small)
    rate = optimizers.cosine(peak=1.5e-4 * 8 / 256, total=played.run.total, warmup=80)
    adamw = optimizers.AdamW(
        rate, played.moments, b1=0.9, b2=0.95, decay=0.05, decays=lambda p: not one_dimensional(p)
    )
    same(played, replay(played, pixio(played), adamw, momentum=lambda t: 0.9))


def test_maskfeat_is_that_of_its_paper(play, same):
    played = play("imagenet/maskfeat_vit_b16", **AVERAGE, **{"target.cell": 4})
    rate = optimizers.cosine(
        peak=2e-4 * 8 / 256, total=played.run.total, warmup=60, start=1e-6, end=1e-6
    )
    adamw = optimizers.AdamW(
        rate, played.moments, b1=0.9, b2=0.999, decay=0.05, clip=0.02,
        decays=lambda p: not one_dimensional(p),
    )  # fmt: skip
    same(played, replay(played, maskfeat(played), adamw, momentum=lambda t: 0.9))


def predicted(p, context, cells, grid, *, reads="all"):
    """The predictor's answer for some cells of one image, (m, out).

    context: (its tokens (n, D), their cells).
    """
    table = net.sincos(grid, p["mask_token"].shape[-1])[1:]
    tokens, places = context
    x = net.linear(p["embed"], tokens) + table[places]
    q = p["mask_token"][0] + table[cells]
    y = net.blocks(p["blocks"], torch.cat([x, q])[None], heads=2, eps=1e-6, activation=F.gelu)
    return net.linear(p["head"], net.layer_norm(p["norm"], y[0, len(x) :], 1e-6))


def ijepa(played):
    """I-JEPA (Assran et al. 2023): smooth L1 on LN0 of the average, a block at a time."""
    seen = drawn(played, lambda key: masks.multiblock(key, 8, (4, 4), 0.75))

    def loss(params, ema, slots, batch, online, average):
        (visible, blocks), images = next(seen), net.images(batch.images["a"])
        assert not (blocks & visible[:, None]).any() and (visible.sum((1, 2)) == 4).all()
        x = tower(params["encoders"]["image"], images, visible)
        y = tower(ema["encoders"]["image"], images, np.ones_like(visible))
        y = F.layer_norm(y, y.shape[-1:], eps=1e-6)
        found = []
        for i, k in itertools.product(range(8), range(4)):
            cells = torch.as_tensor(np.flatnonzero(blocks[i, k]))
            if len(cells):
                at = torch.as_tensor(np.flatnonzero(visible[i]))
                z = predicted(params["decoders"]["image"], (x[i], at), cells, (4, 4))
                found.append(F.smooth_l1_loss(z, y[i, cells]))
        return sum(found) / 32, slots

    return loss


def test_ijepa_is_that_of_its_paper(play, same):
    small = {"decoders.image": dict(name="predictor", width=16, depth=2, heads=2)}
    played = play("imagenet/ijepa_vit_h14", **small)
    total = played.run.total
    rate = optimizers.cosine(peak=1e-3, total=total, warmup=80, start=2e-4, end=1e-6)
    decay = optimizers.cosine(peak=0.04, total=total, end=0.4)
    adamw = Decaying(
        rate, played.moments, b1=0.9, b2=0.999, decay=decay,
        decays=lambda p: not one_dimensional(p),
    )  # fmt: skip
    momentum = lambda t: 0.996 + 0.004 * (t + 1) / total  # noqa: E731
    same(played, replay(played, ijepa(played), adamw, momentum=momentum))


def crossed(p, context, queries, heads=2, both=False):
    """Blocks in which queries (m, D) read the context (n, D), which no block changes.

    both: and each other.
    """
    split = lambda z: z.unflatten(-1, (3, heads, -1)).permute(1, 2, 0, 3)  # noqa: E731
    x = queries
    for i in range(p["norm1"]["scale"].shape[0]):
        layer = net.at_depth(p, i)
        own = net.layer_norm(layer["norm1"], x, 1e-6)
        q = split(net.linear(layer["attn"]["qkv"], own))[0]
        given = torch.cat([context, own]) if both else context
        _, k, v = split(net.linear(layer["attn"]["qkv"], given))
        y = F.scaled_dot_product_attention(q, k, v).permute(1, 0, 2).flatten(1)
        x = x + net.linear(layer["attn"]["proj"], y)
        y = net.linear(layer["mlp"]["fc1"], net.layer_norm(layer["norm2"], x, 1e-6))
        x = x + net.linear(layer["mlp"]["fc2"], F.gelu(y))
    return x


def capi(played):
    """CAPI (Darcet et al. 2025): clusters of the average's tokens, balanced at each position."""
    seen = drawn(played, lambda key: masks.inverse_block(key, 8, (4, 4), 0.65, asked=0.3))

    def loss(params, ema, slots, batch, online, average):
        (visible, blocks), images = next(seen), net.images(batch.images["a"])
        x = tower(params["encoders"]["image"], images, visible)
        y = tower(ema["encoders"]["image"], images, np.ones_like(visible)).detach()
        logits = net.linear(params["decoders"]["clusters"]["head"], net.unit(y))
        p = (logits.detach() / 0.06).transpose(0, 1)  # (positions, B, K)
        p = (p - p.amax((1, 2), keepdim=True)).exp()
        for _ in range(3):
            p = p / p.sum(1, keepdim=True)
            p = p / p.sum(2, keepdim=True)
        p, head, found = p.transpose(0, 1), params["decoders"]["image"], []
        table = net.sincos((4, 4), 32)[1:]
        rows = head["prototypes"]["length"][:, None] * net.unit(head["prototypes"]["kernel"])
        for i in range(8):
            cells, at = (torch.as_tensor(np.flatnonzero(m)) for m in (blocks[i, 0], visible[i]))
            assert len(cells) == 3 and len(at) == 6
            context = x[i] + table[at]
            z = crossed(head["blocks"], context, head["mask_token"][0] + table[cells])
            z = net.unit(net.layer_norm(head["norm"], z, 1e-6)) @ rows.T
            found.append(-(p[i, cells] * (z / 0.12).log_softmax(-1)).sum(-1).mean())
        clusters = -(p * (logits / 0.12).log_softmax(-1)).sum(-1).mean()
        return sum(found) / 8 + clusters, slots

    return loss


def cae(played):
    """CAE (Chen et al. 2022): tokens of hidden patches, by latents that are to be the encoder's."""
    seen = drawn(played, lambda key: masks.blockwise(key, 8, (4, 4), 0.5), name="z")

    def loss(params, ema, slots, batch, online, average):
        visible, images = next(seen), net.images(batch.images["a"])
        heads, table = params["decoders"], {w: net.sincos((4, 4), w)[1:] for w in (16, 32)}
        x = tower(params["encoders"]["image"], images, visible, classed=True)
        y = tower(params["encoders"]["image"], images, ~visible).detach()
        tokens = nested(tensors(slots))
        frozen = tokens["frozen"]["tokenizer"]
        z = tower(frozen["encoders"]["tokenizer"], images, np.ones_like(visible))
        neck = frozen["decoders"]["bottleneck"]
        z = net.unit(net.linear(neck["fc2"], net.linear(neck["fc1"], z).tanh()))
        words, found = (z @ tokens["codebook"]["words"].T).argmax(-1), []
        for i in range(8):
            at, cells = (torch.tensor(np.flatnonzero(m)) for m in (visible[i], ~visible[i]))
            p = heads["regressor"]
            given = torch.cat([x[i, :1], x[i, 1:] + table[32][at]])
            latent = crossed(p["blocks"], given, p["mask_token"][0] + table[32][cells], both=True)
            latent = net.layer_norm(p["norm"], latent, 1e-6)
            p = heads["words"]
            h = (net.linear(p["embed"], latent) + table[16][cells])[None]
            h = net.blocks(p["blocks"], h, heads=2, eps=1e-6, activation=F.gelu)
            h = net.linear(p["head"], net.layer_norm(p["norm"], h[0], 1e-6))
            found.append(F.cross_entropy(h, words[i, cells]) + 2 * F.mse_loss(latent, y[i]))
        return sum(found) / 8, slots

    return loss


def test_cae_is_that_of_its_paper(play, same):
    """With tokens of a small tokenizer in place of DALL-E's, without LayerScale."""
    own = dict(name="predictor", out=32, width=32, depth=2, heads=2, reads="both", embed=False)
    words = dict(name="latent", width=16, depth=1, heads=2, input="regressor")
    neck = dict(name="mlp", hidden=24, out=8, norm="none", activation="tanh", pool="none")
    changes = {
        "objective.tokenizer": "vq", "encoder.layer_scale": None, "encoder.drop_path": 0.0,
        "towers.tokenizer": dict(name="vit_nano", patch=8, width=32, depth=1, heads=2),
        "decoders.regressor": dict(own, head="none", missing=True), "decoders.words": words,
        "decoders.bottleneck": dict(neck, unit_norm=True, input="tokenizer"),
    }  # fmt: skip
    played = play("imagenet/cae_vit_b16", **AVERAGE, **changes)
    rate = optimizers.cosine(peak=1.5e-3, total=played.run.total, warmup=80, end=1e-5, top=79)
    adamw = optimizers.AdamW(
        rate, played.moments, b1=0.9, b2=0.999, decay=0.05, clip=3.0,
        decays=lambda p: not one_dimensional(p) and "cls_token" not in p,
    )  # fmt: skip
    same(played, replay(played, cae(played), adamw, momentum=lambda t: 0.9))


class Scaled(optimizers.AdamW):
    """AdamW whose rate is multiplied by path."""

    def __init__(self, rate, moments, *, scale, **how):
        super().__init__(rate, moments, **how)
        self.rates, self.scale = rate, scale

    def step(self, count, params, grads):
        moved = {}
        for path, g in grads.items():
            self.rate = lambda c, path=path: self.rates(c) * self.scale(path)
            moved |= super().step(count, {path: params[path]}, {path: g})
        return moved


def test_capi_is_that_of_its_paper(play, same):
    small = dict(width=32, depth=2, heads=2, reads="context", head="prototypes", embed=False)
    changes = {
        "decoders.image": dict(small, name="predictor"),
        "objective.asked": 0.3,
        "encoder.drop_path": 0.0,
    }
    played = play("imagenet/capi_vit_l14", **changes)
    total = played.run.total
    rate = optimizers.cosine(peak=1e-3, total=1.225 * total, warmup=50000, top=49999)
    slower = {"encoders/image/patch_embed": 0.2, "decoders/clusters": 0.5}
    adamw = Scaled(
        rate, played.moments, b1=0.9, b2=0.95, decay=0.1, decays=lambda p: not one_dimensional(p),
        scale=lambda p: next((s for start, s in slower.items() if p.startswith(start)), 1.0),
    )  # fmt: skip
    momentum = lambda t: 1 - 0.001 * 0.5 * (1 + math.cos(math.pi * (t + 1) / (1.25 * total)))  # noqa: E731
    same(played, replay(played, capi(played), adamw, momentum=momentum))


class Decaying(optimizers.AdamW):
    """AdamW whose λ follows a schedule."""

    def __init__(self, rate, moments, *, decay, **how):
        super().__init__(rate, moments, decay=0.0, **how)
        self.ramp = decay

    def step(self, count, params, grads):
        self.decay = self.ramp(count)
        return super().step(count, params, grads)

"""MoCo, SimCLR, SupCon, BYOL, Barlow Twins, DenseCL through the whole engine, against float64."""

import itertools
import math

import jax
import networks64 as net
import numpy as np
import optimizers64 as optimizers
import pytest
import torch
import torch.nn.functional as F
from replay64 import replay

from m3i_jax import losses
from m3i_jax.framework.keys import named

# Of the average that is kept for evaluation where no code passes through it.
AVERAGE = {"average.momentum": 0.9, "average.end": 0.9}


def encoder_of(params, batch, view, passes):
    return net.resnet(params["encoders"]["image"], net.images(batch.images[view]), passes)


def moco(params, ema, slots, batch, online, average):
    """MoCo v2 (Chen et al. 2020): InfoNCE of τ .2 among a queue, keys by the average."""

    def code(p, view, passes):
        x = encoder_of(p, batch, view, passes).mean(1)
        return net.unit(net.mlp(p["decoders"]["projector"], x, layers=2, norm=False))

    q, k = code(params, "b", online), code(ema, "a", average)
    keys = torch.tensor(np.float64(slots["queue/keys"]))
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ keys.T], 1) / 0.2
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), pushed(slots, queue=k)


def pushed(slots, **fresh):
    """The queues with the new keys behind the last, round the end."""
    made = dict(slots)
    for name, keys in fresh.items():
        size, first = len(slots[f"{name}/keys"]), int(slots[f"{name}/next"])
        made[f"{name}/keys"] = np.array(slots[f"{name}/keys"], np.float64)
        made[f"{name}/keys"][(first + np.arange(len(keys))) % size] = keys.detach().numpy()
        made[f"{name}/next"] = (first + len(keys)) % size
    return made


def moco_v3(params, ema, slots, batch, online, average):
    """MoCo v3 (Chen et al. 2021): 2τ(CE(a → b) + CE(b → a)) among the batch, τ = .2."""

    def code(p, view):
        x = net.vit(p["encoders"]["image"], net.images(batch.images[view]), patch=8, heads=2)
        return net.mlp(p["decoders"]["projector"], x, layers=3, norm_out=True)

    def direction(x, y):
        q = net.mlp(params["decoders"]["predictor"], code(params, x), layers=2, norm_out=True)
        logits = net.unit(q) @ net.unit(code(ema, y)).T / 0.2
        return 2 * 0.2 * F.cross_entropy(logits, torch.arange(len(q)))

    return direction("a", "b") + direction("b", "a"), slots


def byol(params, ema, slots, batch, online, average):
    """BYOL (Grill et al. 2020): 2 − 2cos of the prediction and the other view, both ways."""

    def code(p, view, passes):
        x = encoder_of(p, batch, view, passes).mean(1)
        return net.mlp(p["decoders"]["projector"], x, layers=2)

    x, y = ({v: code(p, v, seen) for v in "ab"} for p, seen in ((params, online), (ema, average)))
    guess = {v: net.mlp(params["decoders"]["predictor"], x[v], layers=2) for v in "ab"}
    cos = sum((net.unit(guess[v]) * net.unit(y[w])).sum(1).mean() for v, w in ("ab", "ba"))
    return 4 - 2 * cos, slots


def barlow(params, ema, slots, batch, online, average):
    """Barlow Twins (Zbontar et al. 2021): Σ (1 − C_dd)² + .0051 Σ C_de²."""
    code = lambda v: encoder_of(params, batch, v, online).mean(1)  # noqa: E731
    one, two = (net.mlp(params["decoders"]["projector"], code(v), layers=3) for v in "ba")
    c = net.batch_norm({}, one).T @ net.batch_norm({}, two) / len(one)
    other = c.square().sum() - c.diagonal().square().sum()
    return (1 - c.diagonal()).square().sum() + 0.0051 * other, slots


def simsiam(params, ema, slots, batch, online, average):
    """SimSiam (Chen & He 2021): ½ Σ 1 − cos of a prediction and the other view's code, held."""
    heads = params["decoders"]
    z = {v: net.mlp(heads["projector"], encoder_of(params, batch, v, online).mean(1),
                    layers=3, norm_out=True) for v in "ab"}  # fmt: skip
    guess = {v: net.mlp(heads["predictor"], z[v], layers=2) for v in "ab"}
    cos = sum((net.unit(guess[v]) * net.unit(z[w].detach())).sum(1).mean() for v, w in ("ab", "ba"))
    return 0.5 * (2 - cos), slots


def vicreg(params, ema, slots, batch, online, average):
    """VICReg (Bardes et al. 2022): 25 ‖z − z'‖²/D, 25 of the hinge on spread, 1 of covariance."""
    code = lambda v: encoder_of(params, batch, v, online).mean(1)  # noqa: E731
    one, two = (net.mlp(params["decoders"]["projector"], code(v), layers=3) for v in "ba")
    loss = 25 * F.mse_loss(one, two)
    for z in (one, two):
        loss = loss + 25 / 2 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
        c = torch.cov(z.T)
        loss = loss + (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]
    return loss, slots


def nnclr(params, ema, slots, batch, online, average):
    """NNCLR (Dwibedi et al. 2021): neighbours find their predictions among the batch's, τ .1."""
    heads = params["decoders"]
    z = {v: net.mlp(heads["projector"], encoder_of(params, batch, v, online).mean(1),
                    layers=3, norm_out=True) for v in "ab"}  # fmt: skip
    p = {v: net.unit(net.mlp(heads["predictor"], z[v], layers=2)) for v in "ab"}
    keys = torch.tensor(np.float64(slots["queue/keys"]))
    near = {v: keys[(net.unit(z[v]) @ keys.T).argmax(1)] for v in "ab"}
    loss = sum(F.cross_entropy(near[v] @ p[w].T / 0.1, torch.arange(len(p[w])))
               for v, w in ("ab", "ba"))  # fmt: skip
    return 0.5 * loss, pushed(slots, queue=net.unit(z["a"]))


def swav(params, ema, slots, batch, online, average):
    """SwAV (Caron et al. 2020): every crop predicts the balanced prototypes of the others; τ .1.

    Balanced among a queue of each view, whose codes are compared with the prototypes of today.
    """
    rows = params["decoders"]["prototypes"]["kernel"]
    z = {}
    for views in (("a", "b"), ("l0", "l1")):  # batch norms see all crops of a size at once
        x = torch.cat([net.images(batch.images[v]) for v in views])
        x = net.resnet(params["encoders"]["image"], x, online).mean(1)
        x = net.unit(net.mlp(params["decoders"]["projector"], x, layers=2))
        z |= dict(zip(views, x.chunk(2), strict=True))
    found = []
    for y in "ab":
        with torch.no_grad():
            keys = torch.tensor(np.float64(slots[f"queue_{y}/keys"]))
            q = ((torch.cat([keys, z[y]]) @ rows.T) / 0.05).exp().T
            q = q / q.sum()
            for _ in range(3):
                q = q / q.sum(1, keepdim=True) / len(q)
                q = q / q.sum(0, keepdim=True) / q.shape[1]
            q = (q * q.shape[1]).T[len(keys) :]
        found += [-(q * (z[x] @ rows.T / 0.1).log_softmax(1)).sum(1).mean() for x in z if x != y]
    return sum(found) / len(found), pushed(slots, queue_a=z["a"], queue_b=z["b"])


def simclr(params, ema, slots, batch, online, average):
    """SimCLR (Chen et al. 2020): NT-Xent of τ .1, the mean over all 2B views, one batch of 2B.

    A batch norm with a scale alone ends the projector.
    """
    both = torch.cat([net.images(batch.images[v]) for v in "ab"])
    x = net.resnet(params["encoders"]["image"], both, online).mean(1)
    z = net.unit(net.mlp(params["decoders"]["projector"], x, layers=2, norm_out=True))
    n = len(z) // 2
    logits = (z @ z.T / 0.1).fill_diagonal_(-math.inf)
    return F.cross_entropy(logits, torch.arange(2 * n).roll(n)), slots


def supcon(params, ema, slots, batch, online, average):
    """SupCon (Khosla et al. 2020, Eq. 2): −mean over positives of log softmax, τ .1; by loops.

    Unit vectors in front of the projector and behind it; who has no label has its own other view.
    """
    both = torch.cat([net.images(batch.images[v]) for v in "ab"])
    x = net.unit(net.resnet(params["encoders"]["image"], both, online).mean(1))
    z = net.unit(net.linear(params["decoders"]["projector"]["head"], x))
    n, loss = len(z) // 2, 0.0
    label = [k if k >= 0 else -1 - i for i, k in enumerate(batch.label)] * 2
    for i in range(2 * n):
        others = [a for a in range(2 * n) if a != i]
        log_p = (z[others] @ z[i] / 0.1).log_softmax(0)
        positives = [j for j, a in enumerate(others) if label[a] == label[i]]
        loss = loss - log_p[positives].mean() / (2 * n)
    return loss, slots


def densecl(params, ema, slots, batch, online, average):
    """DenseCL (Wang et al. 2021): half InfoNCE of images, half of cells, τ .2."""

    def code(p, view, passes):
        x, heads = encoder_of(p, batch, view, passes), p["decoders"]["dense_heads"]
        two = lambda name, x: net.linear(  # noqa: E731
            heads[f"{name}_fc2"], F.relu(net.linear(heads[f"{name}_fc1"], x))
        )
        return x, two("global", x.mean(1)), two("dense", x)

    (xb, q, q_dense), (yb, k, k_dense) = code(params, "b", online), code(ema, "a", average)
    match = (net.unit(xb) @ net.unit(yb).transpose(1, 2)).argmax(-1)
    positive = torch.stack([row[m] for row, m in zip(net.unit(k_dense), match, strict=True)])

    def contrast(q, k, name):
        q, k = net.unit(q).flatten(0, -2), net.unit(k).flatten(0, -2)
        keys = torch.tensor(np.float64(slots[f"{name}/keys"]))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ keys.T], 1) / 0.2
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))

    loss = 0.5 * contrast(q, k, "queue") + 0.5 * contrast(q_dense, positive, "dense_queue")
    return loss, pushed(slots, queue=net.unit(k), dense_queue=net.unit(k_dense.mean(1)))


def per_epoch(rate):
    """The rate of the first of the two steps of each epoch, in all of it."""
    return lambda step: rate(step - step % 2)


def test_moco_v2_is_that_of_the_paper(play, same):
    played = play("imagenet/moco_resnet50")
    rate = per_epoch(optimizers.cosine(peak=0.03, total=400))
    sgd = optimizers.Sgd(rate, played.moments, momentum=0.9, decay=1e-4)
    same(played, replay(played, moco, sgd, momentum=lambda t: 0.999, averaged=False))


def test_densecl_is_that_of_the_paper(play, same):
    played = play("imagenet/densecl_resnet50")
    rate = per_epoch(optimizers.cosine(peak=0.03, total=400))
    sgd = optimizers.Sgd(rate, played.moments, momentum=0.9, decay=1e-4)
    same(played, replay(played, densecl, sgd, momentum=lambda t: 0.999, averaged=False))


def test_moco_v3_is_that_of_the_paper(play, same):
    """Its average moves in front of the forward pass, by the μ of that step."""
    # Batch norms of 8 rows divide by what is hardly more than rounding.
    played = play("imagenet/moco_v3_vit_b16", batch=32)
    rate = optimizers.cosine(peak=1.5e-4 * 32 / 256, total=600, warmup=80)
    adamw = optimizers.AdamW(rate, played.moments, b1=0.9, b2=0.999, decay=0.1)
    mu = optimizers.towards_one(0.99, 600, ahead=1)
    same(played, replay(played, moco_v3, adamw, momentum=mu, frozen="patch_embed"))


def test_byol_is_that_of_the_paper(play, same):
    played = play("imagenet/byol_resnet50")
    rate = optimizers.cosine(peak=0.2 * 8 / 256, total=2000, warmup=20)
    lars = optimizers.Lars(rate, played.moments, momentum=0.9, decay=1.5e-6)
    mu = optimizers.towards_one(0.996, 2000, ahead=1)
    same(played, replay(played, byol, lars, momentum=mu, averaged=False))


def test_barlow_twins_are_those_of_the_paper(play, same):
    # Batch norms of 8 rows divide by what is hardly more than rounding. The end of the rate that
    # the recipe states is that of its own batch.
    peak = 0.2 * 64 / 256
    changes = AVERAGE | {"optimizer.end_lr": peak / 1000}
    played = play("imagenet/barlow_twins_resnet50", batch=64, **changes)
    rate = optimizers.cosine(peak=peak, end=peak / 1000, total=2000, warmup=20)
    lars = optimizers.Lars(rate, played.moments, momentum=0.9, decay=1e-6, flat=0.0048 / 0.2)
    same(played, replay(played, barlow, lars, momentum=lambda t: 0.9))


def test_simsiam_is_that_of_the_paper(play, same):
    """The rate falls once an epoch, that of the predictor never; norms decay, too."""
    played = play("imagenet/simsiam_resnet50", batch=32, **AVERAGE)
    rate = per_epoch(optimizers.cosine(peak=0.05 * 32 / 256, total=200))
    sgd = optimizers.Sgd(
        rate, played.moments, momentum=0.9, decay=1e-4, steady="decoders/predictor/"
    )
    same(played, replay(played, simsiam, sgd, momentum=lambda t: 0.9))


def test_vicreg_is_that_of_the_paper(play, same):
    peak = 0.2 * 64 / 256
    changes = AVERAGE | {"optimizer.end_lr": peak / 1000}
    # A bias in front of a batch norm has no gradient but rounding, which LARS makes as long as any.
    head = dict(name="mlp", layers=3, hidden=24, out=12, pool="mean", last_bias=False)
    changes |= {"decoders.projector": head | {"bias": False}}
    played = play("imagenet/vicreg_resnet50", batch=64, **changes)
    rate = optimizers.cosine(peak=peak, end=peak / 1000, total=2000, warmup=20)
    lars = optimizers.Lars(rate, played.moments, momentum=0.9, decay=1e-6)
    same(played, replay(played, vicreg, lars, momentum=lambda t: 0.9))


def test_nnclr_is_that_of_the_paper(play, same):
    # Batch norms of 8 rows divide by what is hardly more than rounding.
    changes = AVERAGE | {"objective.size": 48}
    played = play("imagenet/nnclr_resnet50", batch=32, **changes)
    rate = optimizers.cosine(peak=0.3 * 32 / 256, total=2000, warmup=20)
    lars = optimizers.Lars(rate, played.moments, momentum=0.9, decay=1e-6)
    same(played, replay(played, nnclr, lars, momentum=lambda t: 0.9))


class OfUnitRows(optimizers.Lars):
    """LARS of all parameters alike, behind which the rows of the prototypes have length 1."""

    def step(self, count, params, grads):
        alike = lambda tree: {p: x[None] if x.ndim == 1 else x for p, x in tree.items()}  # noqa: E731
        moved = super().step(count, alike(params), alike(grads))
        moved = {p: x.reshape(params[p].shape) for p, x in moved.items()}
        rows = moved["decoders/prototypes/kernel"]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return moved


def test_swav_is_that_of_the_paper(play, same):
    """Among its queues, which are of use from a tenth of the run on."""
    changes = AVERAGE | {"objective.local": 2, "objective.size": 48, "objective.since": 0.1}
    # A bias in front of a batch norm has no gradient but rounding, which LARS makes as long as any.
    head = dict(name="mlp", hidden=24, out=12, pool="mean", unit_norm=True)
    changes |= {"decoders.projector": dict(head, bias=False, last_bias=True)}
    changes |= {"optimizer.end_lr": 1e-3, "optimizer.schedule": dict(name="cosine", start=0.01)}
    played = play("imagenet/swav_resnet50", batch=32, **changes)
    rate = optimizers.cosine(peak=0.3 * 32 / 256, total=1600, warmup=20, start=0.01, end=1e-3)
    lars = OfUnitRows(rate, played.moments, momentum=0.9, decay=1e-6)
    same(played, replay(played, swav, lars, momentum=lambda t: 0.9))


def test_simclr_is_that_of_the_paper(play, same):
    played = play("imagenet/simclr_resnet50", **AVERAGE)
    rate = optimizers.cosine(peak=0.3 * 8 / 256, total=2000, warmup=20)
    lars = optimizers.Lars(rate, played.moments, momentum=0.9, decay=1e-6, inside=True)
    same(played, replay(played, simclr, lars, momentum=lambda t: 0.9))


def test_supcon_is_that_of_the_paper(play, same):
    played = play("imagenet/supcon_resnet50", **AVERAGE)
    rate = optimizers.cosine(peak=0.4 * 8 / 256, total=700, warmup=24)
    own = dict(momentum=0.9, decay=1e-3, inside=True, also="head/bias")
    lars = optimizers.Lars(rate, played.moments, **own)
    same(played, replay(played, supcon, lars, momentum=lambda t: 0.9))


def gaussian_codes(played, weight, distance, slices=24, **mlp):
    """LeJEPA and VISReg: (1 − λ) E‖z_v − μ‖²/D + λ distance from N(0, I), mean over views."""
    steps = itertools.count(played.start)

    def loss(params, ema, slots, batch, online, average):
        key = named(jax.random.fold_in(jax.random.key(0), next(steps)), "regularize")
        along = torch.tensor(np.float64(losses.directions(key, 12, slices)))

        def codes(*views):
            x = torch.cat([classed(params["encoders"]["image"], batch.images[v]) for v in views])
            head = params["decoders"]["projector"]
            return net.mlp(head, x, layers=3, **mlp).reshape(len(views), 8, -1)

        large, small = codes("a", "b"), codes("l0", "l1")
        mean = large.mean(0)
        found = [
            (1 - weight) * F.mse_loss(z, mean) + weight * distance(z, along)
            for z in (*large, *small)
        ]
        return sum(found) / 4, slots

    return loss


def classed(p, images, patch=8):
    """The class token of a ViT whose learned positions small crops resample."""
    x, grid = net.images(images), 4
    side = x.shape[-1] // patch
    table = p["pos_embed"]
    places = table[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    if side != grid:
        places = F.interpolate(places, size=(side, side), mode="bicubic", align_corners=False)
    places = torch.cat([table[:, :1], places.flatten(2).transpose(1, 2)], 1)
    return net.vit(p | {"pos_embed": places}, x, patch=patch, heads=2)


def sigreg(z, along):
    t = torch.linspace(0, 3, 17, dtype=torch.float64)
    phi = torch.exp(-t.square() / 2)
    turns = torch.exp(1j * t * (z @ along)[..., None]).mean(0) - phi
    return len(z) * 2 * torch.trapezoid(turns.abs().square() * phi, t).mean()


def visreg(z, along):
    mean, deviation = z.mean(0), z.std(0, unbiased=False)
    u = ((z - mean) / (deviation.detach() + 1e-4) @ along).sort(0).values
    places = torch.arange(1, len(z) + 1, dtype=torch.float64) / (len(z) + 1)
    shape = (u - torch.special.ndtri(places)[:, None]).square().mean()
    return mean.square().mean() + (1 - deviation).square().mean() + shape


@pytest.mark.parametrize("name, rate, weight, distance, activation", [
    ("lejepa", 5e-4, 0.05, sigreg, F.relu), ("visreg", 9e-4, 0.9, visreg, F.gelu)
])  # fmt: skip
def test_codes_as_a_gaussian_are_those_of_the_papers(
    play, same, name, rate, weight, distance, activation
):
    small = {"objective.local": 2, "objective.slices": 24, "encoder.drop_path": 0.0}
    played = play(f"imagenet/{name}_vit_s16", **AVERAGE, **small)
    loss = gaussian_codes(played, weight, distance, activation=activation)
    schedule = optimizers.cosine(
        peak=rate, total=played.run.total, warmup=2, start=rate / 100, end=rate / 1000
    )
    adamw = optimizers.AdamW(schedule, played.moments, b1=0.9, b2=0.999, decay=0.05)
    same(played, replay(played, loss, adamw, momentum=lambda t: 0.9))

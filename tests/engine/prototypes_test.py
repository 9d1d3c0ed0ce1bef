"""MSN, DINO, iBOT and DINOv2 through the whole engine, against float64."""

import itertools
import math

import jax
import networks64 as net
import numpy as np
import optimizers64 as optimizers
import pytest
import torch
import torch.nn.functional as F
from replay64 import nested, replay, tensors

from m3i_jax import masks, trees
from m3i_jax.framework.keys import named

CROPS = {"objective.local": 2}


def tower(p, x, visible=None, *, hidden=None, patch=8, heads=2):
    """Class token and patches of a ViT with learned positions, which small crops resample.

    visible: the patches that are there.  hidden: (B, n), where the mask token stands for them.
    """
    b, _, h, w = x.shape
    grid, table = (h // patch, w // patch), p["pos_embed"]
    side = math.isqrt(table.shape[1] - 1)
    x = x.reshape(b, 3, grid[0], patch, grid[1], patch).permute(0, 2, 4, 3, 5, 1)
    x = net.linear(p["patch_embed"], x.reshape(b, grid[0] * grid[1], -1))
    if hidden is not None:
        x = torch.where(torch.as_tensor(np.array(hidden))[..., None], p["mask_token"], x)
    places = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if grid != (side, side):
        how = dict(mode="bicubic", align_corners=False, antialias="reg_token" in p)
        places = F.interpolate(places, size=grid, **how)
    x = x + places.flatten(2).transpose(1, 2)
    if visible is not None:
        x = x[:, torch.as_tensor(np.array(visible))]
    before = [p["cls_token"] + table[:, :1], *([p["reg_token"]] if "reg_token" in p else [])]
    x = torch.cat([*(token.expand(b, -1, -1) for token in before), x], 1)
    x = net.blocks(p["blocks"], x, heads=heads, eps=1e-6, activation=F.gelu)
    x = net.layer_norm(p["norm"], x, 1e-6)
    return torch.cat([x[:, :1], x[:, -grid[0] * grid[1] if visible is None else 1 :]], 1)


def projected(p, x):
    """Three layers with GELU between, and batch norms where `p` has them."""
    for i in (1, 2):
        x = net.linear(p[f"fc{i}"], x)
        x = F.gelu(net.batch_norm(p[f"norm{i}"], x) if f"norm{i}" in p else x)
    return net.linear(p["fc3"], x)


def balanced(q, rounds=3):
    """Sinkhorn-Knopp: prototypes are to have 1/K of the weight, samples 1/B (Assran 2022)."""
    q = q.T / q.sum()
    for _ in range(rounds):
        q = q / q.sum(1, keepdim=True) / q.shape[0]
        q = q / q.sum(0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def msn(played):
    """MSN (Assran et al. 2022): −Σ p⁺ log p + ln K − H(p̄), means over all anchors; τ = .1."""
    steps = itertools.count(played.start)

    def loss(params, ema, slots, batch, online, average):
        key = named(jax.random.fold_in(jax.random.key(0), next(steps)), "mask/x_b")
        visible = np.flatnonzero(masks.rows_alike(key, 1, (4, 4), 0.15))
        assert len(visible) == 13  # ⌊.85 · 16⌋

        def shares(p, x, rows, visible=None):
            x = tower(p["encoders"]["image"], x, visible)[:, 0]
            z = projected(p["decoders"]["projector"], x)
            return (net.unit(z) @ net.unit(rows).T / 0.1).softmax(-1)

        rows, see = params["decoders"]["prototypes"]["kernel"], batch.images
        small = torch.cat([net.images(see[v]) for v in ("l0", "l1")])  # one batch
        p = shares(params, net.images(see["b"]), rows, visible)
        p = torch.cat([p, shares(params, small, rows)])
        target = shares(ema, net.images(see["a"]), rows.detach()) ** (1 / 0.25)
        target = balanced(target / target.sum(1, keepdim=True)).repeat(3, 1)
        mean = p.mean(0)
        regularizer = (mean * mean.log()).sum() + math.log(len(mean))
        return -(target * p.log()).sum(1).mean() + regularizer, slots

    return loss


def distilled(played, *, patches):
    """DINO (Caron et al. 2021): every crop predicts the other views; τ = .1, centre and τ_t.

    patches: iBOT (Zhou et al. 2022): inputs are masked, and hidden patches predict theirs, too.
    """
    steps, table = itertools.count(played.start), np.linspace(0.04, 0.07, 30)

    def loss(params, ema, slots, batch, online, average):
        step = next(steps)
        warmth = table[min(step // 2, 29)]  # two steps an epoch
        hidden = masked(step) if patches else {}
        crops = [v for v in ("l0", "l1") if v in batch.images]

        def logits(p, view, **how):
            x = tower(p["encoders"]["image"], net.images(batch.images[view]), **how)
            last = p["decoders"]["prototypes"]
            z = net.unit(projected(p["decoders"]["projector"], x if patches else x[:, :1]))
            return z @ (last["length"][:, None] * net.unit(last["kernel"])).T

        teacher = {v: logits(ema, v) for v in "ab"}
        student = {v: logits(params, v, hidden=hidden.get(v)) for v in ("a", "b", *crops)}
        student = {v: (x / 0.1).log_softmax(-1) for v, x in student.items()}
        centres = {n: torch.as_tensor(np.float64(c)) for n, c in slots.items()}
        entropy = lambda y, c, log: -(((y - c) / warmth).softmax(-1) * log).sum(-1)  # noqa: E731
        found = [
            entropy(teacher[y][:, 0], centres["centre"], student[x][:, 0]).mean()
            for x in student
            for y in "ab"
            if x != y
        ]
        total, means = sum(found) / len(found), {"centre": [y[:, 0] for y in teacher.values()]}
        for v, where in hidden.items():
            where = torch.as_tensor(where)
            per_cell = entropy(teacher[v][:, 1:], centres["dense_centre"], student[v][:, 1:])
            total = total + 0.5 * ((per_cell * where).sum(1) / where.sum(1).clamp(min=1)).mean()
            means.setdefault("dense_centre", []).append(teacher[v][:, 1:].flatten(0, 1))
        return total, {n: (0.9 * centres[n] + 0.1 * torch.cat(y).mean(0)).numpy()
                       for n, y in means.items()}  # fmt: skip

    return loss


def masked(step, *, own="", **how):
    """{view: (B, n)} the cells that iBOT hides in a step; of some images none.

    own: what stands in front of the names of its codes.
    """
    key = jax.random.fold_in(jax.random.key(0), step)
    draw = lambda v: masks.uneven(named(key, f"mask/{own}x_{v}"), 8, (4, 4), 0.3, spread=0.2, **how)  # noqa: E731
    return {v: ~np.array(draw(v)).reshape(8, 16) for v in "ab"}


def dinov2(played, *, untied, own="", gram=0.0):
    """DINOv2 (Oquab et al. 2024): DINO, iBOT on hidden patches alone, .1 of KoLeo for each view.

    untied: heads of their own for patches, and Sinkhorn in the place of centres.
    gram: weight of (XXᵀ − GGᵀ)², of the patches and a teacher's (Siméoni et al. 2025, Eq. 2).
    """
    steps, total = itertools.count(played.start), played.run.total
    names = ("patch_projector", "patch_prototypes") if untied else ("projector", "prototypes")

    def head(p, x, first, last):
        last = p["decoders"][last]
        rows = net.unit(last["kernel"])
        rows = last["length"][:, None] * rows if "length" in last else rows
        return net.unit(projected(p["decoders"][first], x)) @ rows.T

    def loss(params, ema, slots, batch, online, average):
        step = next(steps)
        warmth = 0.04 + 0.03 * min(1.0, (step + 1) / total / 0.3)
        hidden, made = masked(step, own=own, least=4, strata=True), {}
        if gram:
            teacher = nested(tensors({p.removeprefix("snapshot/weights/"): x
                                      for p, x in slots.items() if "weights" in p}))  # fmt: skip
        centres = {n: torch.as_tensor(np.float64(c)) for n, c in slots.items()}

        def assigned(logits, centre):
            if not untied:
                made[centre] = (0.9 * centres[centre] + 0.1 * torch.stack(
                    [x.mean(0) for x in logits.values()]).mean(0)).numpy()  # fmt: skip
                return {v: ((x - centres[centre]) / warmth).softmax(1) for v, x in logits.items()}
            return {v: balanced((x / warmth).exp()) for v, x in logits.items()}

        see = lambda p, v, **how: tower(p["encoders"]["image"], net.images(batch.images[v]), **how)  # noqa: E731
        crops = [v for v in ("a", "b", "l0", "l1") if v in batch.images]
        whole = {v: see(ema, v) for v in "ab"}
        seen = {v: see(params, v, hidden=hidden.get(v)) for v in crops}
        target = assigned({v: head(ema, x[:, 0], "projector", "prototypes")
                           for v, x in whole.items()}, "centre")  # fmt: skip
        log = {v: (head(params, x[:, 0], "projector", "prototypes") / 0.1).log_softmax(1)
               for v, x in seen.items()}  # fmt: skip
        found = [-(target[y] * log[x]).sum(1).mean() for x in log for y in "ab" if x != y]
        value = sum(found) / len(found)
        where = {v: torch.as_tensor(h) for v, h in hidden.items()}
        patches = assigned({v: head(ema, whole[v][:, 1:][where[v]], *names) for v in "ab"},
                           "dense_centre")  # fmt: skip
        for v in "ab":
            guess = (head(params, seen[v][:, 1:][where[v]], *names) / 0.1).log_softmax(1)
            share = where[v] / where[v].sum(1, keepdim=True).clamp(min=1)  # of an image, to each
            entropy = -(patches[v] * guess).sum(1) * share[where[v]]
            z = net.unit(seen[v][:, 0])
            near = (z @ z.T).fill_diagonal_(-2).argmax(1)
            apart = -((z - z[near] + 1e-8).norm(dim=1) + 1e-8).log().mean()
            value = value + 0.5 * entropy.sum() / len(z) + 0.1 * apart
            if gram:
                x, g = (net.unit(patches[:, 1:]) for patches in (seen[v], see(teacher, v)))
                apart = x @ x.transpose(1, 2) - g @ g.transpose(1, 2)
                value = value + 0.5 * gram * apart.square().mean()
        return value, slots | made

    return loss


class Groups(optimizers.AdamW):
    """AdamW whose λ follows a schedule, with a clipping of its own and leaves that start late.

    clipped: gradients -> gradients.  late: (path) -> first step.
    share: (path) -> that of the rate, a number for each layer of a stack.
    """

    def __init__(
        self, rate, moments, *, decay, clipped, late=lambda path: 0, share=lambda path: 1.0, **how
    ):
        super().__init__(rate, moments, decay=0.0, b1=0.9, b2=0.999, **how)
        self.rates, self.ramp, self.clipped, self.late = rate, decay, clipped, late
        self.share = share

    def step(self, count, params, grads):
        self.rate, self.decay = (lambda own: self.rates(count)), self.ramp(count)
        moved = dict(params)
        for path, g in self.clipped(grads).items():
            own = count - self.late(path)  # steps that this leaf has made
            if own >= 0:
                there = super().step(own, {path: params[path]}, {path: g})[path]
                share = np.reshape(self.share(path), (-1,) + (1,) * (g.ndim - 1))
                moved[path] = params[path] + (share if g.ndim else share[0]) * (
                    there - params[path]
                )
        return moved


def size(g):
    return math.sqrt(np.square(g).sum())


def one_dimensional(path):
    return path.rpartition("/")[2] in ("bias", "scale")


def clipped_encoder(grads):
    """To a norm of 3 over everything but the prototypes."""
    inside = {p for p in grads if not p.startswith("decoders/prototypes")}
    norm = size([size(grads[p]) for p in inside])
    return {p: g * min(1.0, 3.0 / norm) if p in inside else g for p, g in grads.items()}


def clipped_leaves(grads):
    """Each parameter to a norm of 3, each block of a stack by itself."""
    rows = lambda p, g: g if "/blocks/" in p else g[None]  # noqa: E731
    return {
        p: np.stack([r * min(1.0, 3.0 / max(size(r), 1e-30)) for r in rows(p, g)]).reshape(g.shape)
        for p, g in grads.items()
    }


def points(run, rate, decay):
    """Rate and decay of the engine's optimiser at five points of its run are those expected."""
    state = jax.device_get(run.create())
    path = "encoders/image/patch_embed/kernel"
    made = run.of_length(run.total, run.warmup)
    still, update = jax.tree.map(np.zeros_like, state.params), jax.jit(made.optimizer.update)
    leaf = lambda tree: np.float64(dict(trees.named_leaves(tree))[path])  # noqa: E731
    for step in (round(share * (run.total - 1)) for share in (0.01, 0.25, 0.5, 0.75, 1)):
        at = lambda x, step=step: np.full_like(x, step) if x.dtype.kind == "i" else x  # noqa: E731
        changes, _ = update(still, jax.tree.map(at, state.optimizer), state.params)
        found, theta = leaf(changes), leaf(state.params)
        np.testing.assert_allclose(made.schedule(step), rate(step), rtol=2e-6)
        np.testing.assert_allclose(found, -rate(step) * decay(step) * theta, rtol=3e-6)


def test_msn_is_that_of_its_paper(play, same):
    played = play("imagenet/msn_vit_s16", **CROPS)
    total = played.run.total
    rate = optimizers.cosine(peak=1e-3, total=1.25 * total, warmup=30, start=2e-4, end=1e-6)
    decay = optimizers.cosine(peak=0.04, total=1.25 * total, end=0.4)
    decays = lambda p: not one_dimensional(p) and "prototypes" not in p  # noqa: E731
    adamw = Groups(rate, played.moments, decay=decay, clipped=clipped_encoder, decays=decays)
    momentum = lambda t: 0.996 + 0.004 * (t + 1) / (1.25 * total)  # noqa: E731
    same(played, replay(played, msn(played), adamw, momentum=momentum))
    points(played.run, rate, decay)


def distills(played, *, end, patches=False):
    """The reference's steps of DINO's recipe or iBOT's; rate, which ends at `end`, and decay."""
    total = played.run.total
    rate = optimizers.cosine(peak=5e-4 * 8 / 256, total=total, warmup=20, end=end, top=19)
    decay = optimizers.cosine(peak=0.04, total=total, end=0.4)
    adamw = Groups(
        rate, played.moments, decay=decay, clipped=clipped_leaves,
        decays=lambda p: not one_dimensional(p),
        late=lambda p: 2 if p.startswith("decoders/prototypes") else 0,
    )  # fmt: skip
    momentum = optimizers.towards_one(0.996, total, ahead=1)
    loss = distilled(played, patches=patches)
    return replay(played, loss, adamw, momentum=momentum), rate, decay


@pytest.mark.parametrize("start", [None, 1])
def test_dino_is_that_of_its_paper(play, same, start):
    """In the middle of the run; and as its second epoch begins, with the last layer and τ_t."""
    played = play(
        "imagenet/dino_vit_s16", start=start, late=2, **CROPS, **{"encoder.drop_path": 0.0}
    )
    expected, *ramps = distills(played, end=1e-5)
    same(played, expected)
    if start:
        points(played.run, *ramps)


def test_ibot_is_that_of_its_paper(play, same):
    """Of 16 masks of the two steps some hide nothing, and no two as much."""
    played = play("imagenet/ibot_vit_s16", **{"objective.local": 1, "encoder.drop_path": 0.0})
    counts = [hidden.sum(1) for step in (0, 1) for hidden in masked(played.start + step).values()]
    assert (np.concatenate(counts) == 0).any() and len(set(np.concatenate(counts))) > 3
    same(played, distills(played, end=1e-6, patches=True)[0])


def clipped_modules(grads):
    """Encoder and heads, each to a norm of 3."""
    norms = {m: size([size(g) for p, g in grads.items() if p.startswith(m)])
             for m in ("encoders", "decoders")}  # fmt: skip
    return {p: g * min(1.0, 3.0 / norms[p.partition("/")[0]]) for p, g in grads.items()}


def by_layer(path):
    """.9 for each layer between a parameter's and the head's, of two blocks; patches a fifth."""
    if "/blocks/" in path:
        return np.array([0.9**2, 0.9])
    first = path.startswith("encoders/") and "/norm/" not in path
    return 0.9**3 * (0.2 if "/patch_embed/" in path else 1.0) if first else 1.0


OWN = dict(name="mlp", layers=3, hidden=24, out=12, norm="none", activation="gelu", unit_norm=True)
LAST = dict(name="prototypes", out=12, lengths=True)
UNTIED_HEADS = {
    "decoders.projector": dict(OWN, pool="class"),
    "decoders.prototypes": dict(LAST, pool="class", input="projector"),
    "decoders.patch_projector": dict(OWN, pool="none"),
    "decoders.patch_prototypes": dict(LAST, pool="none", input="patch_projector"),
}  # fmt: skip
UNTIED = UNTIED_HEADS | {
    "objective.sinkhorn": 3, "objective.untied": True, "encoder.registers": 2
}  # fmt: skip


@pytest.mark.parametrize("untied", [False, True])
def test_dinov2_is_that_of_its_code(play, same, untied):
    """Its short recipe; and with Sinkhorn, registers and heads of their own for patches."""
    changes = {"objective.local": 1, "encoder.drop_path": 0.0, **(UNTIED if untied else {})}
    played = play("imagenet/dinov2_vit_l16", late=1250, **changes)
    total = played.run.total
    rate = optimizers.cosine(peak=4e-3 * 2**0.5, total=total, warmup=total // 10, end=1e-6,
                             top=total // 10 - 1)  # fmt: skip
    adamw = Groups(
        rate, played.moments, decay=optimizers.cosine(peak=0.04, total=total, end=0.4),
        clipped=clipped_modules, share=by_layer,
        decays=lambda p: not one_dimensional(p) and not p.endswith("gamma"),
        late=lambda p: 1250 if p.startswith("decoders/prototypes") else 0,
    )  # fmt: skip
    momentum = optimizers.towards_one(0.992, total, ahead=1)
    same(played, replay(played, dinov2(played, untied=untied), adamw, momentum=momentum))


def test_gram_anchoring_is_that_of_the_paper(play, same):
    """Beside DINOv2: the teacher is what the run began with, and then its average of each step."""
    block = dict(name="dinov2", local=0, target_temperature=(0.04, 0.07, 0.3))
    block |= dict(target=dict(name="ema", heads=("projector", "prototypes"), momentum=0.992))
    changes = {"objective.methods": dict(dinov2=block), "objective.refresh": 1,
               "encoder.drop_path": 0.0, "encoder.positions": "learned"}  # fmt: skip
    played = play("imagenet/dinov3_vit_l16:gram", **changes, **UNTIED_HEADS)
    total = played.run.total
    adamw = Groups(
        lambda step: 3e-5, played.moments, decay=lambda step: 0.04,
        clipped=clipped_modules, share=by_layer,
        decays=lambda p: not one_dimensional(p) and not p.endswith("gamma"),
    )  # fmt: skip

    def taken(slots, ema):
        now = {f"snapshot/weights/{p}": x for p, x in ema.items() if p.startswith("encoders/")}
        return slots | now | {"snapshot/steps": slots["snapshot/steps"] + 1}

    momentum = optimizers.towards_one(0.992, total, ahead=1)
    loss = dinov2(played, untied=True, own="dinov2/", gram=2.0)
    same(played, replay(played, loss, adamw, momentum=momentum, followed_by=taken))

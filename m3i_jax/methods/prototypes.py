"""Methods that predict shares of learned prototypes (M3I Table 5, inter-view).

Views, masked views and small crops predict how another view, or what is hidden of their own, is
assigned. `target` is the encoder that provides it, behind the heads "projector" and "prototypes".
"""

from functools import partial
from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Encoder, Masking, Method, Term
from m3i_jax.ranges import (
    INT32,
    Count,
    Hidden,
    Local,
    PositiveShare,
    Range,
    Share,
    Temperature,
    Weight,
)

HEADS = ("projector", "prototypes")
OWN = tuple(f"patch_{head}" for head in HEADS)  # of patches, where they share none
# (start, end, share of the training), and in how many equal steps.
Ramp = tuple[Temperature, Temperature, PositiveShare]
RampByEpochs = tuple[Temperature, Temperature, PositiveShare, Annotated[int, Range(2, INT32)]]


def _every_crop(x, y, local: int, predict, mask: Masking | None = None) -> tuple[dict, dict]:
    """Codes and terms: all crops predict the other of the two large ones, all pairs alike.

    y: encoder of the targets, or {view: encoder}.
    """
    small = fw.pooled_only(x)
    codes = {f"x_{v}": Code(v, x, mask) for v in "ab"}
    codes |= {f"x_l{i}": Code(f"l{i}", small) for i in range(local)}
    codes |= {f"y_{v}": Code(v, y[v] if isinstance(y, dict) else y) for v in "ab"}
    inputs = ("a", "b", *(f"l{i}" for i in range(local)))
    pairs = [(x, y) for x in inputs for y in "ab" if x != y]
    return codes, {
        f"{x}_to_{y}": Term(f"x_{x}", f"y_{y}", None, predict, weight=1 / len(pairs))
        for x, y in pairs
    }


def _all_of(*parts: tuple[dict, dict]) -> Method:
    """A method of several (codes, terms)."""
    codes, terms = zip(*parts, strict=True)
    merged = lambda dicts: {name: x for part in dicts for name, x in part.items()}  # noqa: E731
    return Method(merged(codes), merged(terms))


def _hidden_patches(x, y, predict, mask: Masking, *, alone=False) -> tuple[dict, dict]:
    """Codes and terms: the hidden patches of both large views predict their own.

    alone: whether assignments of patches count the hidden ones alone.
    """
    codes = {f"p_{v}": Code(v, x, mask) for v in "ab"}
    codes |= {f"q_{v}": Code(v, y, asked=f"p_{v}" if alone else None) for v in "ab"}
    return codes, {
        f"patches_{v}": Term(f"p_{v}", f"q_{v}", None, predict, None, "hidden", 0.5) for v in "ab"
    }


def _kept_apart(x, regularize, mask: Masking, weight: float) -> tuple[dict, dict]:
    """Codes and terms: the codes of each large view are spread, and predict nothing."""
    codes = {f"k_{v}": Code(v, x, mask) for v in "ab"}
    return codes, {
        f"apart_{v}": Term(f"k_{v}", f"k_{v}", None, fw.nothing(), regularize, weight=weight)
        for v in "ab"
    }


def dino(
    target: Encoder | None = None,
    *,
    local: Local = 8,
    temperature: Temperature = 0.1,
    target_temperature: Temperature | Ramp | RampByEpochs = 0.04,
    centring: bool = True,
) -> Method:
    """DINO: every view → the prototypes that a moving average gives the other global views.

    −Σ p log softmax(ẑ/τ), p = softmax((z − c)/τ_t) centred and sharpened, mean over all pairs of
    different views; `local` small crops are inputs only (Caron et al. 2021). τ_t may rise: (start,
    end, share of the training, steps); see `framework.targets.temperature_at`. ViT-S, 800 epochs,
    10 local crops: 77.0 % linear, 74.5 % kNN.
    https://arxiv.org/abs/2104.14294, Eq. 1 to 4; docs/methods.md#dino.

    temperature: τ.  target_temperature: τ_t, or how it rises.
    centring: whether c is the mean of the targets so far, or 0.
    """
    target = target or fw.ema(heads=HEADS, momentum=0.996)
    target = fw.assigned(target, fw.centring(temperature=target_temperature, on=centring))
    predict = fw.cross_entropy(temperature=temperature)
    return _all_of(_every_crop(fw.online(heads=HEADS), target, local, predict))


def ibot(
    target: Encoder | None = None,
    *,
    local: Local = 10,
    hidden: Hidden = 0.3,
    spread: Annotated[float, Range(0, 0.5)] = 0.2,
    temperature: Temperature = 0.1,
    target_temperature: Temperature | Ramp | RampByEpochs = 0.04,
) -> Method:
    """iBOT: DINO, and hidden patches of a view → their prototypes by a moving average (Zhou 2022).

    L = L_DINO + mean over views of mean over hidden patches of −Σ p log softmax(ẑ/τ), one head for
    the class token and patches, each with a centre; in half of the views none are hidden, in others
    10 to 50 %. ViT-B, 400 epochs: 79.5 % linear, 77.1 % kNN, 84.0 % fine-tuned.
    https://arxiv.org/abs/2111.07832, Eq. 1 to 3; docs/methods.md#ibot.

    temperature: τ.  target_temperature: τ_t of both, or how it rises.
    hidden, spread: of a masked view U(hidden − spread, hidden + spread) is hidden.
    """
    predict = partial(fw.cross_entropy, temperature=temperature)
    how = fw.centring(temperature=target_temperature)
    target, x = target or fw.ema(heads=HEADS, momentum=0.996), fw.online(heads=HEADS)
    mask = Masking(partial(masks.uneven, spread=spread), hidden, varies=True)
    return _all_of(
        _every_crop(fw.pooled_only(x), fw.assigned(target, how), local, predict(), mask),
        _hidden_patches(x, fw.assigned(target, tokens=how), predict(dense=True), mask),
    )


def dinov2(
    target: Encoder | None = None,
    *,
    local: Local = 8,
    hidden: Hidden = 0.3,
    spread: Annotated[float, Range(0, 0.5)] = 0.2,
    temperature: Temperature = 0.1,
    target_temperature: Temperature | Ramp | RampByEpochs = 0.07,
    sinkhorn: Annotated[int, Range(0, 100)] = 3,
    untied: bool = True,
    koleo: Weight = 0.1,
    koleo_group: Count = 64,
) -> Method:
    """DINOv2: DINO, iBOT and class tokens that keep apart (Oquab et al. 2024).

    L = L_DINO + L_iBOT + 0.1 Σ over large views of KoLeo; targets by Sinkhorn over the batch, those
    of patches over the hidden ones, or centred; exactly half of the views are masked. ViT-L/16 on
    ImageNet-1k, heads shared, centred: 82.9 % linear, 81.6 % kNN.
    https://arxiv.org/abs/2304.07193, §4; docs/methods.md#dinov2.

    temperature: τ.  target_temperature: τ_t, or how it rises.  hidden, spread: as in `ibot`.
    sinkhorn: rounds of it; 0 = centring.  untied: patches have heads of their own, `patch_…`.
    koleo: its weight.  koleo_group: rows among which neighbours are looked for.
    """
    predict = partial(fw.cross_entropy, temperature=temperature)
    how = fw.balancing(temperature=target_temperature, iterations=sinkhorn)
    how = how if sinkhorn else fw.centring(temperature=target_temperature)
    target, x = target or fw.ema(heads=HEADS, momentum=0.992), fw.online(heads=HEADS)
    own, y = (fw.online(heads=OWN), target.again(OWN)) if untied else (x, target)
    mask = Masking(partial(masks.uneven, spread=spread, least=4, strata=True), hidden, varies=True)
    return _all_of(
        _every_crop(fw.pooled_only(x), fw.assigned(target, how), local, predict(), mask),
        _hidden_patches(own, fw.assigned(y, tokens=how), predict(dense=True), mask, alone=True),
        _kept_apart(fw.pooled_only(fw.online()), fw.koleo(group=koleo_group), mask, koleo),
    )


def msn(
    target: Encoder | None = None,
    *,
    hidden: Hidden = 0.15,
    local: Local = 10,
    sharpen: Temperature = 0.25,
    sinkhorn: Annotated[int, Range(0, 100)] = 3,
    entropy_weight: Weight = 1.0,
) -> Method:
    """MSN: a masked view and small crops → the prototypes of the whole other view (Assran 2022).

    −Σ p⁺ log p + (ln K − H(p̄)), p⁺ sharpened and balanced by Sinkhorn, p over 1024 learned
    prototypes, both means over all inputs (anchors) of the batch; the head divides by its
    temperature, 0.1. ViT-S, 800 epochs: 76.9 % linear.
    https://arxiv.org/abs/2204.07141, Eq. 1; docs/methods.md#msn.

    sharpen: temperature that p⁺ is sharpened with.  sinkhorn: rounds of it; 0 = none.
    entropy_weight: of ln K − H(p̄).
    """
    target = target or fw.ema(heads="projector", momentum=0.996)
    target = fw.shared_heads(target, "prototypes")
    target = fw.assigned(target, fw.sharpening(sharpen=sharpen, iterations=sinkhorn))
    x = fw.online(heads=HEADS)
    mask = Masking(masks.rows_alike, hidden, exact=masks.count_up)
    small = fw.online(heads=HEADS, together=True)
    codes = {"y": Code("a", target), "x_b": Code("b", x, mask)}
    codes |= {f"x_l{i}": Code(f"l{i}", small) for i in range(local)}
    predict, regularize = fw.cross_entropy(temperature=1.0), fw.mean_entropy(entropy_weight)
    inputs = [name for name in codes if name != "y"]
    return Method(codes, {
        name: Term(name, "y", None, predict, regularize, weight=1 / len(inputs)) for name in inputs
    })  # fmt: skip


def swav(
    *,
    local: Local = 6,
    temperature: Temperature = 0.1,
    epsilon: Temperature = 0.05,
    sinkhorn: Annotated[int, Range(1, 100)] = 3,
    size: Annotated[int, Range(0, 2**22, why="a device holds all of it")] = 0,
    since: Share = 0.0,
) -> Method:
    """SwAV: every crop → the prototypes of the other large view, used alike (Caron et al. 2020).

    −Σ q log softmax(ẑ/τ), q = Sinkhorn of exp(z/ε) over the batch, by the same network, mean over
    all pairs of different views; small batches have a queue of earlier codes of each view beside
    them. ResNet-50, 800 epochs, batch 4096, 6 small crops: 75.3 % linear.
    https://arxiv.org/abs/2006.09882, Eq. 1 to 5; docs/methods.md#swav.

    temperature: τ.  epsilon: ε.  sinkhorn: rounds of it.
    size: codes in the queue of a view; 0 = none.  since: share of the training without it.
    """
    x, how = fw.online(heads=HEADS, together=True), dict(temperature=epsilon, since=since)
    y = dict.fromkeys("ab", fw.stopped(x))
    if size:
        before = fw.stopped(fw.online(heads="projector", together=True))
        y = {v: fw.queue(before, size=size, name=f"queue_{v}") for v in "ab"}
        y = {v: fw.shared_heads(seen, "prototypes") for v, seen in y.items()}
    y = {v: fw.assigned(z, fw.balancing(iterations=sinkhorn, **how)) for v, z in y.items()}
    return _all_of(_every_crop(x, y, local, fw.cross_entropy(temperature=temperature)))

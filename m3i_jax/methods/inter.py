"""Methods that predict a view of an image from another one (M3I Table 5, inter-view).

`target` is the encoder that provides what is predicted, where the method leaves it open. Projectors
are feature heads: part of the encoder, averaged with it, and thrown away after training.
"""

from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Encoder, Masking, Method, Term
from m3i_jax.ranges import (
    Hidden,
    Local,
    PositiveWeight,
    Queue,
    Range,
    Temperature,
    Weight,
)

Regularized = Annotated[float, Range(0, 1, below=True, why="at 1 no view predicts another")]
Slices = Annotated[int, Range(1, 2**16, why="each is compared with a Gaussian in every step")]


def _both_ways(
    x, y, decoder, predict, *, regularize=None, weight=1.0, y_b=None, identity=None
) -> Method:
    """a → b and b → a, x and y the encoders of input and target; y_b: of view b, if another."""
    codes = {f"x{v}": Code(v, x) for v in "ab"}
    codes |= {f"y{v}": Code(v, z, identity=identity) for v, z in (("a", y), ("b", y_b or y))}
    terms = {
        "a_to_b": Term("xa", "yb", decoder, predict, regularize, weight=weight),
        "b_to_a": Term("xb", "ya", decoder, predict, regularize, weight=weight),
    }
    return Method(codes, terms)


def moco(
    target: Encoder | None = None, *, temperature: Temperature = 0.2, size: Queue = 65536
) -> Method:
    """MoCo v2: view b → view a's global code among a queue of earlier ones (Chen et al. 2020).

    −log P̂ = InfoNCE with τ = 0.2 over 65 536 keys of the moving average (.999); projector of two
    layers, 128 dimensions, no predictor. ResNet-50, 200 epochs: 67.5 % linear.
    https://arxiv.org/abs/2003.04297; docs/methods.md#moco.
    """
    target = target or fw.ema(heads="projector", momentum=0.999, end=0.999)
    codes = {
        "x": Code("b", fw.online(heads="projector")),
        "y": Code("a", fw.queue(target, size=size)),
    }
    return Method(codes, {"global": Term("x", "y", None, fw.contrast(temperature=temperature))})


def moco_v3(target: Encoder | None = None, *, temperature: Temperature = 0.2) -> Method:
    """MoCo v3: both views predict each other among the batch (Chen et al. 2021).

    L = 2τ(CE(a→b) + CE(b→a)), keys by the moving average (.99 → 1), projector 3 layers 256-d,
    predictor 2 layers, batch norm throughout. ViT-B, 300 epochs: 76.7 % linear.
    https://arxiv.org/abs/2104.02057, Algorithm 1; docs/methods.md#moco_v3.
    """
    target = target or fw.ema(heads="projector", momentum=0.99)
    predict = fw.boltzmann(temperature=temperature, unit=True, candidates="samples")
    x = fw.online(heads="projector")
    return _both_ways(x, target, "predictor", predict, weight=2.0 * temperature)


def simclr(*, temperature: Temperature = 0.1) -> Method:
    """SimCLR: view a ↔ b among all views of the batch, gradients on both sides (Chen et al. 2020).

    L = mean over the 2B views of the cross-entropy over the 2B − 1 others (NT-Xent), τ = 0.1;
    projector 2 layers, 128-d. Both views are one batch of 2B for the batch norms, as in the paper's
    code. ResNet-50, 1000 epochs, batch 4096: 69.3 % linear.
    https://arxiv.org/abs/2002.05709, Eq. 1; docs/methods.md#simclr.
    """
    x = fw.online(heads="projector", together=True)
    return _both_ways(x, x, None, fw.nt_xent(temperature=temperature), weight=0.5)


def supcon(*, temperature: Temperature = 0.1) -> Method:
    """SupCon: SimCLR whose positives are all views of the category (Khosla et al. 2020).

    L = mean over the 2B views of −1/|P| Σ_{p ∈ P} log softmax over the 2B − 1 others, P all others
    of its label, τ = 0.1; who has no label is its own category. ResNet-50, 350 epochs, batch 6144:
    78.7 %. https://arxiv.org/abs/2004.11362, Eq. 2; docs/methods.md#supcon.
    """
    x, predict = fw.online(heads="projector", together=True), fw.nt_xent(temperature=temperature)
    return _both_ways(x, x, None, predict, weight=0.5, identity="label")


def byol(target: Encoder | None = None) -> Method:
    """BYOL: both views predict each other's code by the moving average (Grill et al. 2020).

    L = Σ of both directions of 2 − 2cos, μ .996 → 1, projector and predictor with a hidden layer
    of 4096 and 256 outputs. ResNet-50, 1000 epochs: 74.3 % linear.
    https://arxiv.org/abs/2006.07733, Eq. 2; docs/methods.md#byol.
    """
    target = target or fw.ema(heads="projector", momentum=0.996)
    return _both_ways(fw.online(heads="projector"), target, "predictor", fw.cosine())


def barlow_twins(*, off_diagonal: Weight = 0.0051) -> Method:
    """Barlow Twins: codes of both views are to agree, dimension by dimension (Zbontar et al. 2021).

    L = Σ_d (1 − C_dd)² + λ Σ_{d≠e} C_de², C the cross-correlation over the global batch; projector
    8192-8192-8192. ResNet-50, 1000 epochs: 73.2 % linear.
    https://arxiv.org/abs/2103.03230, Eq. 1 and 2; docs/methods.md#barlow_twins.

    off_diagonal: λ.
    """
    x = fw.online(heads="projector")
    codes = {"x": Code("b", x), "y": Code("a", x)}
    regularize = fw.redundancy(off_diagonal)
    return Method(codes, {"global": Term("x", "y", None, fw.invariance(), regularize)})


def simsiam() -> Method:
    """SimSiam: both views predict each other's code by the same network (Chen & He 2021).

    L = ½ Σ of both directions of 1 − cos(q(z), sg z'), no average and no negatives; projector of
    three layers with a norm behind the last, predictor with a hidden layer a quarter as wide.
    ResNet-50, 100 epochs: 68.1 % linear.
    https://arxiv.org/abs/2011.10566, Eq. 1 to 4; docs/methods.md#simsiam.
    """
    x = fw.online(heads="projector")
    return _both_ways(x, fw.stopped(x), "predictor", fw.cosine(), weight=0.25)


def vicreg(
    *, invariance: PositiveWeight = 25.0, variance: Weight = 25.0, covariance: Weight = 1.0
) -> Method:
    """VICReg: codes of both views are to agree, to vary and not to repeat (Bardes et al. 2022).

    L = λ E‖z − z'‖²/D + μ ½(V(z) + V(z')) + ν (C(z) + C(z')), gradients on both sides; expander
    8192-8192-8192. ResNet-50, 1000 epochs: 73.2 % linear.
    https://arxiv.org/abs/2105.04906, Eq. 1 to 6; docs/methods.md#vicreg.

    invariance: λ.  variance: μ.  covariance: ν.
    """
    x = fw.online(heads="projector")
    codes = {"x": Code("b", x), "y": Code("a", x)}
    regularize = fw.spread(variance / invariance, covariance / invariance)
    predict = fw.gaussian(dense=False)
    return Method(codes, {
        "global": Term("x", "y", None, predict, regularize, weight=invariance)
    })  # fmt: skip


def lejepa(*, local: Local = 6, weight: Regularized = 0.05, slices: Slices = 1024) -> Method:
    """LeJEPA: every view → the mean of the large ones, codes as a Gaussian (Balestriero 2025).

    L = mean over views of (1 − λ) E‖z_v − μ‖²/D + λ SIGReg(z_v), μ the mean code of a and b, with
    all gradients: no average, no predictor, no stop. SIGReg is the Epps–Pulley statistic along
    `slices` directions, drawn anew in every step. ViT-H/14: 79 % linear.
    https://arxiv.org/abs/2511.08544; docs/methods.md#lejepa.

    weight: λ.  slices: directions along which codes are compared with a Gaussian.
    """
    return _to_the_mean(local, weight, fw.sigreg(weight / (1.0 - weight), slices=slices))


def visreg(*, local: Local = 6, weight: Regularized = 0.9, slices: Slices = 2048) -> Method:
    """VISReg: as LeJEPA, centre, scale and shape of the codes each by itself (Wu et al. 2026).

    L = mean over views of (1 − λ) E‖z_v − μ‖²/D + λ (mean μ_d² + mean (1 − σ_d)² + SW₂²), the last
    the sliced Wasserstein distance of standardised codes from a Gaussian.
    https://arxiv.org/abs/2606.02572, Eq. 1 to 8; docs/methods.md#visreg.

    weight: λ.  slices: directions along which codes are compared with a Gaussian.
    """
    return _to_the_mean(local, weight, fw.visreg(weight / (1.0 - weight), slices=slices))


def _to_the_mean(local: int, weight: float, regularize: fw.Regularizer) -> Method:
    """Every view predicts the mean code of the two large ones, and is regularised."""
    x = fw.online(heads="projector", together=True)
    views = ["a", "b", *(f"l{i}" for i in range(local))]
    codes = {f"x_{v}": Code(v, x) for v in views} | {"y": Code("a", fw.centroid(x, ("a", "b")))}
    predict, share = fw.gaussian(dense=False), (1.0 - weight) / len(views)
    return Method(codes, {
        v: Term(f"x_{v}", "y", None, predict, regularize, weight=share) for v in views
    })  # fmt: skip


def nnclr(*, temperature: Temperature = 0.1, size: Queue = 98304) -> Method:
    """NNCLR: a view → the earlier code nearest to that of the other view (Dwibedi et al. 2021).

    L = mean of both directions of InfoNCE: each neighbour finds its prediction among those of the
    batch, τ = 0.1; 98 304 codes of view a; projector of three layers, predictor of two. ResNet-50,
    1000 epochs, batch 4096: 75.4 % linear.
    https://arxiv.org/abs/2104.14548, Eq. 2 and 3; docs/methods.md#nnclr.
    """
    x = fw.online(heads="projector")
    near, further = (
        fw.neighbours(fw.stopped(x), size=size, enter=enter) for enter in (True, False)
    )
    predict = fw.sought(temperature=temperature)
    return _both_ways(x, near, "predictor", predict, weight=0.5, y_b=further)


def densecl(
    target: Encoder | None = None, *, temperature: Temperature = 0.2, size: Queue = 65536
) -> Method:
    """DenseCL: MoCo for the image and for each of its cells (Wang et al. 2021).

    L = ½ L_global + ½ L_dense; a cell's positive is the cell of the other view most like it before
    the heads, its negatives a queue of mean dense keys. ResNet-50, 200 epochs: 58.7 AP on VOC.
    https://arxiv.org/abs/2011.09157, Eq. 1 to 4; docs/methods.md#densecl.
    """
    target = target or fw.ema(heads="dense_heads", momentum=0.999, end=0.999)
    codes = {
        "x": Code("b", fw.online(heads="dense_heads")),
        "y": Code("a", fw.queue(target, size=size)),
        "y_dense": Code("a", fw.queue(target, size=size, dense=True, name="dense_queue")),
    }
    cell = fw.contrast(temperature=temperature, dense=True)
    return Method(codes, {
        "global": Term("x", "y", None, fw.contrast(temperature=temperature), weight=0.5),
        "dense": Term("x", "y_dense", None, cell, positions="matched", weight=0.5),
    })  # fmt: skip


def siamese_im(
    target: Encoder | None = None,
    *,
    hidden: Hidden = 0.6,
    projector: bool = True,
    negative_weight: Weight = 0.02,
) -> Method:
    """SiameseIM: visible patches of view b → dense features of view a (Tao et al. 2023).

    L = (E‖ẑ − z‖² + w·E ẑᵀCẑ)/D over all positions (UniGrad); w = 0 leaves the Gaussian with
    stop-gradient of M3I's Table 5. `projector` puts its code's token head behind the online encoder
    and its moving average. ViT-B, 1600 epochs: 84.1 % fine-tuned, 78.0 % linear.
    https://arxiv.org/abs/2206.01204; docs/methods.md#siamese_im.

    projector: whether codes pass through its head.  negative_weight: w.
    """
    heads = ("projector",) if projector else ()
    target = target or fw.ema(heads=heads)
    codes = {
        "x": Code("b", fw.online(heads=heads), Masking(masks.blockwise, hidden)),
        "y": Code("a", fw.standardize(target)),
    }
    regularize = fw.alignment(negative_weight) if negative_weight else None
    return Method(codes, {"dense": Term("x", "y", "image", fw.gaussian(), regularize)})

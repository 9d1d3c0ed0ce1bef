"""Methods whose targets are said of pixels: segmentation, depth, pose (supervised, M3I Table 5).

An encoder is fine-tuned by them, or trained from nothing; `optimizer.freeze` leaves it as it is and
trains the head alone. What a head sees of the encoder is `blocks`: "last", behind the last block
and its norm; "stages", behind each stage, or each quarter of a ViT; or numbers of blocks, from 1.
"""

from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax.framework import Code, Method, Term
from m3i_jax.geometry.maps import Blocks
from m3i_jax.ranges import Range, Weight

Categories = Annotated[int, Range(2, 255, why="a byte a pixel, and 255 is what nobody has named")]
Joints = Annotated[int, Range(1, 1000)]
Share = Annotated[float, Range(0, 1)]


def segmentation(
    *,
    classes: Categories = 150,
    blocks: Blocks = "last",
    auxiliary: Weight = 0.0,
    named: bool = False,
) -> Method:
    """Semantic segmentation: view a → the category of every pixel.

    −log P̂ = softmax cross-entropy of each pixel, the logits resized to the image; pixels that
    nobody has named count as 0 (mmsegmentation). UPerNet on M3I's ViT-B, ADE20K: 51.3 mIoU
    (M3I Table 12). docs/methods.md#segmentation.

    classes: categories that a mask may name.
    blocks: what the heads see of the encoder, "last", "stages", or numbers of blocks from 1.
    auxiliary: weight of a second head, `decoders.auxiliary`; UPerNet's is 0.4, 0 = none.
    named: the mean is over the named pixels of the batch alone (DINOv2), not over all.
    """
    predict = fw.pixel_categories(named=named)
    codes = {
        "x": Code("a", fw.mapped(fw.online(), blocks)),
        "mask": Code("mask", fw.categories(classes=classes)),
    }
    terms = {"mask": Term("x", "mask", "segmentation", predict, group="sp")}
    if auxiliary:
        terms["auxiliary"] = Term("x", "mask", "auxiliary", predict, weight=auxiliary, group="sp")
    return Method(codes, terms)


def depth(*, blocks: Blocks = "last", variance: Share = 0.5) -> Method:
    """Monocular depth: view a → how far away every pixel is.

    L = √(mean d² − λ (mean d)²), d = ln z − ln ẑ over all pixels of the batch that were measured
    (SiLog: Eigen et al. 2014, https://arxiv.org/abs/1406.2283, Eq. 4). ViT-B pre-trained by
    SimMIM, NYUv2: RMSE 0.349 (https://arxiv.org/abs/2205.13543, supplement, Table 1).
    docs/methods.md#depth.

    blocks: what the head sees of the encoder, "last", "stages", or numbers of blocks from 1.
    variance: λ, how much of the error in scale is forgiven.
    """
    codes = {
        "x": Code("a", fw.mapped(fw.online(), blocks)),
        "depth": Code("depth", fw.depths()),
    }
    predict = fw.pixel_depth(variance=variance)
    return Method(codes, {"depth": Term("x", "depth", "depth", predict, group="sp")})


def pose(
    *,
    points: Joints = 17,
    blocks: Blocks = "last",
    sigma: Annotated[float, Range(0.1, 100)] = 2.0,
) -> Method:
    """Key points: view a, the crop of a person → a map of each joint, a Gaussian around its place.

    −log P̂ = mean of w (h − ĥ)², h = exp(−|u − μ|²/2σ²) around the exact place μ (unbiased: Huang et
    al. 2020, https://arxiv.org/abs/1911.07524), w = 1 where the joint is labelled. ViT-B by SimMIM,
    COCO val: 75.3 AP (https://arxiv.org/abs/2205.13543, supplement, Table 1). docs/methods.md#pose.

    points: joints.
    blocks: what the head sees of the encoder, "last", "stages", or numbers of blocks from 1.
    sigma: σ, in cells of the map.
    """
    codes = {
        "x": Code("a", fw.mapped(fw.online(), blocks)),
        "points": Code("points", fw.key_points(points=points)),
    }
    predict = fw.heat_maps(sigma=sigma)
    return Method(codes, {"points": Term("x", "points", "pose", predict, group="sp")})

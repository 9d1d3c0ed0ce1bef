"""Rates and decay of the published recipes at five points of their runs, at their own batch."""

import math

import jax
import numpy as np
import optimizers64 as optimizers
import pytest

from m3i_jax import cli
from m3i_jax.training import optimizer
from m3i_jax.training.lengths import parse

# Images, batch, epochs, warm-up; then the rate's peak, start and end, and the decay of matrices.
IMAGENET, YFCC = 1_281_167, 15_000_000
RECIPES = {
    "imagenet/moco_resnet50": (IMAGENET, 256, 200, 0, 0.03, 0.0, 0.0, 1e-4),
    "imagenet/densecl_resnet50": (IMAGENET, 256, 200, 0, 0.03, 0.0, 0.0, 1e-4),
    "imagenet/moco_v3_vit_b16": (IMAGENET, 4096, 300, 40, 1.5e-4 * 16, 0.0, 0.0, 0.1),
    "imagenet/byol_resnet50": (IMAGENET, 4096, 1000, 10, 0.2 * 16, 0.0, 0.0, None),
    "imagenet/simclr_resnet50": (IMAGENET, 4096, 1000, 10, 0.3 * 16, 0.0, 0.0, None),
    "imagenet/barlow_twins_resnet50": (
        IMAGENET,
        2048,
        1000,
        10,
        0.2 * 8,
        0.0,
        0.2 * 8 / 1000,
        None,
    ),
    "imagenet/simsiam_resnet50": (IMAGENET, 512, 100, 0, 0.1, 0.0, 0.0, 1e-4),
    "imagenet/vicreg_resnet50": (IMAGENET, 2048, 1000, 10, 1.6, 0.0, 1.6e-3, None),
    "imagenet/nnclr_resnet50": (IMAGENET, 4096, 1000, 10, 4.8, 0.0, 0.0, None),
    "imagenet/swav_resnet50": (IMAGENET, 4096, 800, 10, 4.8, 0.3, 4.8e-3, None),
    "imagenet/ibot_vit_s16": (IMAGENET, 1024, 800, 10, 2e-3, 0.0, 1e-6, None),
    "imagenet/dinov2_vit_l16": (2048, 2048, 125_000, 12_500, 4e-3 * 2**0.5, 0.0, 1e-6, None),
    "imagenet/maskfeat_vit_b16": (IMAGENET, 2048, 300, 30, 1.6e-3, 1e-6, 1e-6, 0.05),
    "imagenet/ijepa_vit_h14": (IMAGENET, 2048, 300, 40, 1e-3, 2e-4, 1e-6, None),
    "imagenet/pixio_vit_b16": (IMAGENET, 256, 100, 40, 1.5e-4, 0.0, 0.0, 0.05),
    "imagenet/cae_vit_b16": (IMAGENET, 2048, 1600, 40, 1.5e-3, 0.0, 1e-5, 0.05),
    "imagenet/capi_vit_l14": (16384, 16384, 500_000, 50_000, 1e-3, 0.0, 0.0, None),
    "imagenet/lejepa_vit_s16": (IMAGENET, 256, 100, 1, 5e-4, 5e-6, 5e-7, 0.05),
    "imagenet/visreg_vit_s16": (IMAGENET, 256, 100, 1, 9e-4, 9e-6, 9e-7, 0.05),
    "yfcc/clip_vit_b16": (YFCC, 4096, 25, 1, 5e-4, 1e-6, 1e-5, 0.5),
    "yfcc/siglip_vit_b16": (YFCC, 4096, 25, 1, 1e-3, 0.0, 0.0, 1e-4 / 1e-3),
}
# A matrix, a bias, a norm and what single recipes have rules for.
PATHS = {
    "encoders/image/conv/kernel": (3, 4),
    "encoders/image/conv/bias": (4,),
    "encoders/image/norm/scale": (4,),
    "encoders/image/cls_token": (1, 1, 4),
    "encoders/image/patch_embed/kernel": (3, 4),
    "decoders/text/unit/logit_scale": (),
    "decoders/predictor/kernel": (3, 4),
    "decoders/prototypes/kernel": (3, 4),
    "decoders/clusters/kernel": (3, 4),
}
# Whose last step of the warm-up has the peak: NumPy's line includes its end.
CLOSED = ("clip", "swav", "ibot", "dinov2", "cae", "capi")
# What their runs see of the cosine.
SEEN = {"imagenet/capi_vit_l14": 0.8}
ALL = set(PATHS)
WIDE = {path for path in PATHS if path.endswith("/kernel")}
DECAYS = {
    "imagenet/moco_resnet50": ALL,
    "imagenet/densecl_resnet50": ALL,
    "imagenet/simsiam_resnet50": ALL,
    "imagenet/lejepa_vit_s16": ALL,
    "imagenet/visreg_vit_s16": ALL,
    "imagenet/maskfeat_vit_b16": WIDE | {"encoders/image/cls_token"},
    "imagenet/pixio_vit_b16": WIDE | {"encoders/image/cls_token"},
    "imagenet/cae_vit_b16": WIDE,
    "imagenet/moco_v3_vit_b16": ALL - {"encoders/image/patch_embed/kernel"},  # it does not train
    "yfcc/clip_vit_b16": WIDE | {"encoders/image/cls_token"},
    "yfcc/siglip_vit_b16": WIDE,
}


STEADY = {"imagenet/simsiam_resnet50": "decoders/predictor/"}  # whose rate does not fall


def made(name):
    """(optimiser, its parameters, total, warm-up) of a config at full length."""
    import replay64

    config = cli.load(name)
    lengths = dict(batch=config.batch, epoch=config.epoch_size)
    total, warmup = (parse(config[key], **lengths) for key in ("duration", "warmup"))
    rng = np.random.default_rng(0)
    leaves = {p: rng.uniform(0.5, 1.0, shape).astype(np.float32) for p, shape in PATHS.items()}
    params = replay64.nested(leaves)
    block = config.optimizer.to_dict()
    block.pop("layer_decay", None)  # these are the layers of no network
    found = optimizer.create(block, params=params, batch=config.batch, total=total, warmup=warmup)
    return found, params, total, warmup


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_at_five_points(name):
    images, batch, epochs, rise, peak, start, end, _ = RECIPES[name]
    found, _, total, warmup = made(name)
    assert (total, warmup) == (round(epochs * images / batch), round(rise * images / batch))
    top = warmup - 1 if any(short in name for short in CLOSED) else None
    whole = warmup + (total - warmup) / SEEN.get(name, 1.0)
    right = optimizers.cosine(peak=peak, start=start, end=end, total=whole, warmup=warmup, top=top)
    for step in (0, max(0, warmup - 1), warmup, total // 2, 3 * total // 4, total):
        np.testing.assert_allclose(found.schedule(step), right(step), rtol=1e-5, atol=1e-9)
    assert math.isclose(found.schedule(warmup), peak, rel_tol=1e-6)


@pytest.mark.parametrize("name", DECAYS)
def test_what_decays_and_how_fast_at_five_points(name):
    """Without a gradient a step is −η λ θ, and nothing where nothing decays."""
    import replay64

    found, params, total, warmup = made(name)
    decay, zeros = RECIPES[name][-1], jax.tree.map(np.zeros_like, params)
    state = found.transform.init(params)
    for step in (0, warmup, total // 2, 3 * total // 4, total - 1):
        at = jax.tree.map(
            lambda x, step=step: np.full_like(x, step) if x.dtype.kind == "i" else x,
            jax.device_get(state),
        )
        steps = replay64.flat(jax.device_get(found.transform.update(zeros, at, params)[0]))
        for path, theta in replay64.flat(params).items():
            still = path.startswith(STEADY.get(name, "-"))
            rate = float(found.schedule(0 if still else step))
            right = -rate * decay * theta if path in DECAYS[name] else np.zeros_like(theta)
            # A step that is cut to limits is the difference of two parameters near 1.
            np.testing.assert_allclose(steps[path], right, rtol=1e-5, atol=1e-7 * (theta.ndim == 0))

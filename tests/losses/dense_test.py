"""Dense losses against float64 formulas, finite differences, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from m3i_jax import losses

RNG = np.random.default_rng(5)
B, H, W, C = 8, 3, 2, 5
LOGITS = (RNG.normal(size=(B, H, W, C)) * 3).astype(np.float32).astype(np.float64)
LABELS = RNG.integers(0, C, (B, H, W)).astype(np.int32)
LABELS[RNG.random(LABELS.shape) < 0.3] = 255
LABELS[0] = 255  # an image that nobody has looked at
CLASS_WEIGHTS = np.linspace(0.5, 2, C).astype(np.float32)


def pixel_cross_entropy(logits, labels, *, ignored=255, valid=False, weights=None):
    weights = np.ones(C) if weights is None else weights
    nats = -scipy.special.log_softmax(logits, axis=-1)
    sums, total = np.zeros(len(labels)), 0.0
    for b, i, j in np.ndindex(labels.shape):
        if (label := labels[b, i, j]) != ignored:
            sums[b] += weights[label] * nats[b, i, j, label]
            total += weights[label]
    return sums * len(labels) / max(total, 1e-300) if valid else sums / labels[0].size


DEPTH = np.exp(RNG.normal(size=(B, H, W))).astype(np.float32).astype(np.float64)
PREDICTION = (DEPTH * np.exp(0.3 * RNG.normal(size=DEPTH.shape) + 0.2)).astype(np.float32)
PREDICTION = PREDICTION.astype(np.float64)
VALID = RNG.random(DEPTH.shape) < 0.7


def silog(p, g, valid, variance=0.5):
    d = np.log(g[valid]) - np.log(p[valid])
    return np.sqrt((d**2).mean() - variance * d.mean() ** 2)


def sig(p, g, valid, eps=1e-3, mean_weight=0.15, with_variance=True):
    d = np.log(p[valid] + eps) - np.log(g[valid] + eps)
    return np.sqrt(d.var(ddof=1) * with_variance + mean_weight * d.mean() ** 2)


MAPS, TARGETS = RNG.normal(size=(2, B, H, W, 3)).astype(np.float32).astype(np.float64)
SHOWN = (RNG.random((B, 3)) < 0.6).astype(np.float32)


def heatmap(p, t, w, half=False):
    joints = [[w[b, k] * ((p - t)[b, ..., k] ** 2).mean() for k in range(3)] for b in range(B)]
    return np.mean(joints, axis=1) * (0.5 if half else 1)


PIXELS, DEPTHS, HEAT = (LOGITS, LABELS), (PREDICTION, DEPTH, VALID), (MAPS, TARGETS, SHOWN)
CASES = {
    "pixels": (losses.pixel_cross_entropy, pixel_cross_entropy, PIXELS, {}),
    "pixels_weighted": (
        losses.pixel_cross_entropy,
        pixel_cross_entropy,
        PIXELS,
        {"weights": CLASS_WEIGHTS, "ignored": 3},
    ),
    "pixels_valid": (
        losses.pixel_cross_entropy,
        pixel_cross_entropy,
        PIXELS,
        {"weights": CLASS_WEIGHTS, "valid": True},
    ),
    "silog": (losses.silog, silog, DEPTHS, {}),
    "silog_error": (losses.silog, silog, DEPTHS, {"variance": 0.0}),
    "silog_variance": (losses.silog, silog, DEPTHS, {"variance": 1.0}),
    "sig": (losses.sig, sig, DEPTHS, {}),
    "sig_first_steps": (losses.sig, sig, DEPTHS, {"with_variance": False}),
    "heatmap": (losses.heatmap, heatmap, HEAT, {}),
    "heatmap_half": (losses.heatmap, heatmap, HEAT, {"half": True}),
}
# Labels of 255 are none of five categories to this one, and so NaN.
CASES["pixels_weighted"] = (
    *CASES["pixels_weighted"][:2],
    (LOGITS, np.where(LABELS == 255, 3, LABELS)),
    CASES["pixels_weighted"][3],
)


@pytest.mark.parametrize("name", CASES)
def test_a_dense_loss_equals_its_formula(name, check):
    fn, formula, args, options = CASES[name]
    check.value(fn, formula, args, options)
    if name in ("pixels_valid", "silog", "sig", "heatmap"):
        check.gradient(fn, formula, args, options)
        check.devices(fn, args, options)
    check.finite(fn, args, options)


def test_the_mean_over_valid_pixels_is_one_mean_of_the_batch():
    per_image = losses.pixel_cross_entropy(LOGITS, LABELS, valid=True)
    named = LABELS != 255
    nats = -scipy.special.log_softmax(LOGITS, -1)
    wanted = np.take_along_axis(nats, np.where(named, LABELS, 0)[..., None], -1)[..., 0][named]
    np.testing.assert_allclose(per_image.mean(), wanted.mean(), rtol=1e-6)
    assert per_image[0] == 0 and per_image[1] > 0


def test_where_nothing_is_valid_there_is_no_loss_and_no_gradient():
    nothing = np.zeros(DEPTH.shape, bool)
    nobody, holes = np.full_like(LABELS, 255), np.zeros_like(DEPTH)
    for fn, x, args in (
        (losses.silog, PREDICTION, (holes, nothing)),
        (losses.sig, PREDICTION, (holes, nothing)),
        (lambda a, y: losses.pixel_cross_entropy(a, y, valid=True).sum(), LOGITS, (nobody,)),
        (lambda a, y: losses.pixel_cross_entropy(a, y).sum(), LOGITS, (nobody,)),
    ):
        value, slope = jax.value_and_grad(fn)(jnp.asarray(x, jnp.float32), *args)
        assert value == 0 and not np.asarray(slope).any()


def test_holes_and_a_saturated_head_leave_depth_gradients_finite():
    """ln 0 of what is not measured, and of a sigmoid that is 0 in float32."""
    depth = np.where(VALID, DEPTH, 0)
    for fill, fn in [(0.0, losses.silog), (1e-30, losses.silog), (0.0, losses.sig)]:
        prediction = np.where(RNG.random(DEPTH.shape) < 0.5, fill, PREDICTION).astype(np.float32)
        value, slope = jax.value_and_grad(fn)(prediction, depth, VALID)
        assert np.isfinite(value) and np.isfinite(slope).all()
        assert not np.asarray(slope)[~VALID].any()
    for fn in (losses.silog, losses.sig):  # all equal, and equal up to a scale
        for scale in (1.0, 2.0):
            value, slope = jax.value_and_grad(fn)((DEPTH * scale).astype(np.float32), DEPTH, VALID)
            assert np.isfinite(value) and np.isfinite(slope).all()
    one = np.zeros_like(VALID)
    one[0, 0, 0] = True
    assert np.isfinite(jax.grad(losses.sig)(PREDICTION.astype(np.float32), DEPTH, one)).all()


def test_what_is_wrong_is_loud():
    assert np.isnan(losses.silog(-PREDICTION, DEPTH, VALID))
    for label in (C, 254, -1):
        wrong = LABELS.copy()
        wrong[2, 1, 1] = label
        value = losses.pixel_cross_entropy(LOGITS, wrong)
        np.testing.assert_array_equal(np.isnan(value), np.arange(B) == 2)


def test_masks_of_bytes_and_logits_of_sixteen_bits_are_taken():
    low = jnp.asarray(LOGITS, jnp.bfloat16)
    value = losses.pixel_cross_entropy(low, LABELS.astype(np.uint8))
    wanted = losses.pixel_cross_entropy(low.astype(jnp.float32), LABELS)
    np.testing.assert_array_equal(value, wanted)


def test_silog_of_one_does_not_know_a_common_scale():
    value = losses.silog(3 * PREDICTION, DEPTH, VALID, variance=1.0)
    np.testing.assert_allclose(value, silog(PREDICTION, DEPTH, VALID, 1.0), rtol=1e-5)


def test_the_variance_may_be_switched_on_inside_a_compiled_step():
    step = jax.jit(lambda on: losses.sig(PREDICTION, DEPTH, VALID, with_variance=on))
    for on in (False, True):
        wanted = sig(PREDICTION, DEPTH, VALID, with_variance=on)
        np.testing.assert_allclose(step(jnp.asarray(on)), wanted, rtol=1e-6)

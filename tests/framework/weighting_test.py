"""Dynamic weighting against its definition, written again in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.framework import constant, gradient_norm, scheduled


def follow(weighting, pairs):
    state, seen = weighting.init(), []
    for ssp, sp in pairs:
        norms = {"ssp": jnp.float32(ssp), "sp": jnp.float32(sp)}
        weights, state = weighting.weigh(state, norms, jnp.float32(0.0))
        seen.append(float(weights["sp"]))
    return np.array(seen), state


def reference(pairs, gamma, decay):
    """λ = γ ḡ_ssp/ḡ_sp with bias-corrected averages over the steps that count, in float64."""
    out, sums, counts = [], [0.0, 0.0], [0, 0]
    for pair in pairs:
        for i, norm in enumerate(pair):
            if np.isfinite(norm) and norm > 0:
                sums[i] = decay * sums[i] + (1 - decay) * norm
                counts[i] += 1
        average = [s / (1 - decay**n) if n else 0.0 for s, n in zip(sums, counts, strict=True)]
        out.append(np.clip(gamma * average[0] / average[1], 1e-3, 1e3) if all(counts) else 1.0)
    return np.array(out)


def test_equal_norms_give_gamma():
    seen, _ = follow(gradient_norm(gamma=0.5), [(3.0, 3.0)] * 4)
    np.testing.assert_allclose(seen, 0.5, rtol=1e-6)


def test_follows_the_definition_over_empty_and_broken_steps():
    rng = np.random.default_rng(0)
    pairs = [tuple(p) for p in rng.uniform(0.1, 5.0, (30, 2))]
    pairs[0] = (2.0, 0.0)  # no labelled sample in the first batch
    pairs[7], pairs[8], pairs[9] = (np.nan, 1.0), (1.0, np.inf), (0.0, 0.0)
    seen, state = follow(gradient_norm(gamma=2.0, decay=0.9), pairs)
    # float32 averages against float64 ones: a few ulp over 30 steps.
    np.testing.assert_allclose(seen, reference(pairs, 2.0, 0.9), rtol=2e-5)
    assert all(np.isfinite(v) for part in state.values() for v in part.values())


def test_lambda_is_clipped():
    assert follow(gradient_norm(), [(1e6, 1.0)])[0] == pytest.approx(1e3)
    assert follow(gradient_norm(), [(1.0, 1e6)])[0] == pytest.approx(1e-3)


def test_constant_measures_nothing():
    weighting = constant()
    assert not weighting.measures
    assert weighting.weigh(weighting.init(), {}, jnp.float32(0.0)) == ({}, {})


def test_schedules_go_from_the_first_to_the_second_number():
    weighting = scheduled(groups={"mae": (1.0, 0.2), "clip": (0.0, 1.0)})
    at = lambda p: weighting.weigh({}, {}, jnp.float32(p))[0]  # noqa: E731
    assert float(at(0.0)["mae"]) == 1.0 and float(at(0.0)["clip"]) == 0.0
    assert float(at(1.0)["mae"]) == pytest.approx(0.2) and float(at(0.5)["clip"]) == pytest.approx(
        0.5
    )


def test_several_groups_are_balanced_each_by_itself():
    weighting = gradient_norm(gamma=1.0, balanced=("clip", "moco"), reference="mae")
    norms = {"mae": jnp.float32(6.0), "clip": jnp.float32(2.0), "moco": jnp.float32(3.0)}
    weights, _ = weighting.weigh(weighting.init(), norms, jnp.float32(0.0))
    assert float(weights["clip"]) == pytest.approx(3.0)
    assert float(weights["moco"]) == pytest.approx(2.0)

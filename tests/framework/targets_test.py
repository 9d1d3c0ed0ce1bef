"""Targets: what they make of a code, and what they remember of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import losses, masks, methods, quantize


def code(encoder, toy, views, key, *, steps=1):
    """Features of view a, and the states after `steps` steps in which nothing else moved."""
    method = fw.Method({"y": fw.Code("a", encoder)}, {})
    params, states = fw.init(method, toy, key)
    for _ in range(steps):
        prepared = fw.prepare(method, toy, views, key=key, params=params, states=states)
        codes, found, _ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
        states = fw.update(method, params, states, found, jnp.float32(1.0))
    return codes["y"], states


def test_standardized_tokens_have_no_mean_and_unit_variance(toy, views, key):
    features, states = code(fw.standardize(fw.ema()), toy, views, key)
    np.testing.assert_allclose(features.tokens.mean(-1), 0.0, atol=1e-6)
    # eps = 1e-5 inside the root takes a little off the variance of small features.
    np.testing.assert_allclose(features.tokens.var(-1), 1.0, atol=1e-2)
    assert set(states) == {"ema"}, "a wrapped average shares the state of the average"


def test_averaged_is_the_mean_token(toy, views, key):
    plain, _ = code(fw.ema(), toy, views, key)
    features, _ = code(fw.averaged(fw.ema()), toy, views, key)
    np.testing.assert_allclose(features.pooled, plain.tokens.mean(1), rtol=1e-6)


def test_a_queue_keeps_the_latest_unit_codes_in_turn(toy, views, key):
    encoder = fw.queue(fw.ema(heads="projector"), size=6)
    features, states = code(encoder, toy, views, key)
    fresh = np.asarray(features.pooled, np.float64)
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    np.testing.assert_allclose(states["queue"]["keys"][:4], fresh, rtol=1e-5)
    assert int(states["queue"]["next"]) == 4
    _, later = code(encoder, toy, views, key, steps=2)
    # Four more: two at the end, two over the oldest.
    np.testing.assert_allclose(later["queue"]["keys"][4:], fresh[:2], rtol=1e-5)
    np.testing.assert_allclose(later["queue"]["keys"][:2], fresh[2:], rtol=1e-5)
    assert int(later["queue"]["next"]) == 2


def test_the_queue_holds_earlier_codes_not_this_batch(toy, views, key):
    features, _ = code(fw.queue(fw.ema(heads="projector"), size=6), toy, views, key)
    fresh = np.asarray(features.pooled)
    fresh = fresh / np.linalg.norm(fresh, axis=1, keepdims=True)
    assert np.abs(np.asarray(features.candidates)[:4] - fresh).max() > 0.1


def test_a_neighbour_is_of_the_queue_and_only_codes_that_enter_move_it(toy, views, key):
    plain, before = code(fw.queue(fw.ema(heads="projector"), size=6), toy, views, key)
    features, after = code(fw.neighbours(fw.ema(heads="projector"), size=6), toy, views, key)
    keys = np.float64(plain.candidates)
    cosines = np.float64(plain.pooled) @ keys.T / np.linalg.norm(plain.pooled, axis=1)[:, None]
    np.testing.assert_array_equal(features.pooled, plain.candidates[cosines.argmax(1)])
    assert features.candidates is None, "the batch is what a neighbour is told apart from"
    np.testing.assert_array_equal(after["queue"]["keys"], before["queue"]["keys"])
    guest = fw.neighbours(fw.ema(heads="projector"), size=6, enter=False)
    _, still = code(guest, toy, views, key)
    np.testing.assert_array_equal(still["queue"]["keys"], plain.candidates)


def test_earlier_codes_count_beside_the_batch_from_a_share_of_the_training_on(toy, views, key):
    """SwAV: behind the prototypes, as the batch is; of the batch alone where they do not count."""
    queued = fw.queue(fw.ema(heads="projector"), size=6)
    seen = fw.shared_heads(queued, "prototypes")
    plain, _ = code(seen, toy, views, key)
    assert plain.candidates.shape == (6, plain.pooled.shape[1])
    together = jnp.concatenate([plain.candidates, plain.pooled])
    for since, want in ((0.0, losses.balanced(together, temperature=0.5)[6:]),
                        (0.5, losses.balanced(plain.pooled, temperature=0.5))):  # fmt: skip
        how = fw.balancing(temperature=0.5, since=since)
        got = how.shares(plain.pooled, None, 0.3, plain.candidates)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_centred_shares_follow_the_mean_logits(toy, views, key):
    plain, _ = code(fw.ema(heads=("projector", "prototypes")), toy, views, key)
    encoder = fw.ema(heads=("projector", "prototypes"))
    features, states = code(fw.assigned(encoder, fw.centring(momentum=0.5)), toy, views, key)
    np.testing.assert_allclose(features.pooled.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(states["centre"], 0.5 * plain.pooled.mean(0), rtol=1e-5)
    _, states = code(fw.assigned(encoder, fw.centring(on=False)), toy, views, key)
    assert set(states) == {"ema"}


def test_tokens_are_assigned_by_a_centre_of_their_own(toy, views, key):
    both = lambda f: f._replace(pooled=f.tokens[:, 0])  # noqa: E731
    encoder = fw.then(fw.ema(), both)
    plain, _ = code(encoder, toy, views, key)
    how = fw.centring(momentum=0.5)
    features, states = code(fw.assigned(encoder, how, tokens=how), toy, views, key)
    assert features.tokens.shape == plain.tokens.shape
    np.testing.assert_allclose(features.tokens.sum(-1), 1.0, rtol=1e-5)
    for slot, codes in (("centre", plain.pooled), ("dense_centre", plain.tokens)):
        mean = np.float64(codes).reshape(-1, codes.shape[-1]).mean(0)
        np.testing.assert_allclose(states[slot], 0.5 * mean, rtol=1e-5, atol=1e-7)


def test_only_the_patches_that_are_asked_for_count(toy, views, key):
    """In the centre and in Sinkhorn's sums; the code itself sees the whole view."""
    mask = fw.Masking(masks.random, 0.5)
    for how in (fw.centring(momentum=0.5), fw.balancing()):
        y = fw.assigned(fw.ema(), tokens=how)
        codes = {"x": fw.Code("a", fw.online(), mask), "z": fw.Code("a", fw.ema()),
                 "y": fw.Code("a", y, asked="x")}  # fmt: skip
        method = fw.Method(codes, {})
        params, states = fw.init(method, toy, key)
        prepared = fw.prepare(method, toy, views, key=key)
        seen, found, _ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
        hidden = ~np.asarray(prepared.visible["x"]).reshape(4, -1)
        logits = np.asarray(seen["z"].tokens)[hidden]
        if how.momentum:
            after = fw.update(method, params, states, found, jnp.float32(0.5))
            np.testing.assert_allclose(after["dense_centre"], 0.5 * logits.mean(0), rtol=1e-5)
        else:
            want = losses.balanced(logits, temperature=0.05)
            np.testing.assert_allclose(seen["y"].tokens[hidden], want, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="is asked by code 'w'"):
        fw.Method(codes | {"y": fw.Code("a", y, asked="w")}, {})


def test_assigned_shares_are_sharper_and_balanced(toy, views, key):
    encoder = fw.shared_heads(fw.ema(heads="projector"), "prototypes")
    features, states = code(fw.assigned(encoder, fw.sharpening()), toy, views, key)
    np.testing.assert_allclose(features.pooled.sum(-1), 1.0, rtol=1e-5)
    assert set(states["ema"]["decoders"]) == {"projector"}, "the prototypes are the online ones"


def test_words_are_the_nearest_and_the_codebook_starts_at_the_tokens(toy, views, key):
    encoder = fw.quantized(fw.online(), vocabulary=3)
    features, states = code(encoder, toy, views, key)
    book = np.asarray(states["codebook"]["words"])
    assert bool(states["codebook"]["started"])
    np.testing.assert_allclose(np.linalg.norm(book, axis=1), 1.0, rtol=1e-5)
    assert features.target_index.shape == features.tokens.shape[:2]
    np.testing.assert_allclose(np.linalg.norm(features.tokens, axis=-1), 1.0, rtol=1e-5)
    assert set(np.unique(features.target_index)) <= {0, 1, 2}
    again, moved = code(encoder, toy, views, key, steps=3)
    # k-means has found its place already: the same tokens choose the same words.
    assert (np.asarray(again.target_index) == np.asarray(features.target_index)).mean() > 0.9


def test_the_gradient_goes_straight_through(toy, views, key):
    method = fw.Method({"y": fw.Code("a", fw.quantized(fw.online(), vocabulary=3))}, {})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)

    def total(params):
        codes, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
        return codes["y"].tokens[..., 0].sum()

    grads = jax.grad(total)(params)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(grads["encoders"]["image"]))


def test_layers_cannot_be_read_behind_heads():
    with pytest.raises(ValueError, match="no heads behind it"):
        fw.last_layers(fw.ema(heads="projector"), count=2)


def test_keys_that_two_methods_have_in_common_enter_their_queue_once(toy, views, key):
    moco = methods.moco(size=8)
    method = methods.compose.combine({"one": moco, "two": moco})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)
    _, found, _ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    after = fw.update(method, params, states, found, jnp.float32(0.5))
    assert after["queue"]["next"] == 4
    np.testing.assert_array_equal(after["queue"]["keys"][4:], states["queue"]["keys"][4:])


def test_a_codebook_follows_the_tokens_of_all_its_views(toy, views, key):
    codes = {v: fw.Code(v, fw.quantized(fw.online(), vocabulary=3)) for v in "ab"}
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    states |= {"codebook": states["codebook"] | {"started": jnp.ones((), bool)}}
    prepared = fw.prepare(method, toy, views, key=key)
    _, found, _ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    words = fw.update(method, params, states, found, jnp.float32(0.5))["codebook"]["words"]
    both = [np.concatenate([report[i] for report in found["codebook"]]) for i in (1, 2)]
    right = quantize.moved(states["codebook"]["words"], *both, decay=0.99)
    np.testing.assert_allclose(words, right, rtol=1e-6)
    assert len(both[1]) == 2 * 4 * 16

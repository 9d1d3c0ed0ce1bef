"""Predictions and scores from given codes: regions, owners, absent targets."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import losses, methods, mixing
from m3i_jax.build import ConfigError
from m3i_jax.types import Objects, View

VIEWS = {"category": "label", "text": "text"}


def start(method, toy, views, key):
    params, states = fw.init(method, toy, key)
    return params, states, fw.prepare(method, toy, views, key=key)


def scores_of(method, toy, params, states, prepared, key):
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    return fw.score(method, toy, params, representations, prepared, train=True, key=key)


def test_a_role_sees_only_its_own_region(toy, views, key):
    method = methods.m3i(category=False, text=False)
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    cells = prepared.views["mix"].regions["first"].cells.reshape(4, -1)

    def predict(tokens, term):
        moved = representations | {"x": representations["x"]._replace(tokens=tokens)}
        return fw.predict(method, toy, params, moved, prepared, (term,))[term][0]

    tokens = representations["x"].tokens
    foreign = jnp.where(cells[..., None], tokens, 100.0)
    own = jnp.where(cells[..., None], 100.0, tokens)
    np.testing.assert_array_equal(predict(tokens, "intra"), predict(foreign, "intra"))
    assert np.abs(predict(tokens, "intra") - predict(own, "intra")).max() > 0.1
    np.testing.assert_array_equal(predict(tokens, "inter"), predict(own, "inter"))


def test_role_two_predicts_its_own_sample(toy, views, key):
    method = methods.m3i(category=False, text=False)
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    owner = prepared.views["mix"].regions["second"].owner
    assert (owner != jnp.arange(4)).all()
    _, target = fw.predict(method, toy, params, representations, prepared, ("inter",))["inter"]
    np.testing.assert_array_equal(target.tokens, representations["y"].tokens[owner])
    np.testing.assert_array_equal(target.box.left, mixing.take(views["a"].box.left, owner))
    _, target = fw.predict(method, toy, params, representations, prepared, ("intra",))["intra"]
    np.testing.assert_array_equal(target.tokens, representations["y"].tokens)


def test_absent_labels_and_texts_neither_count_nor_lead(toy, views, key):
    method = methods.m3i(image=False, label_smoothing=0.0)
    params, states, prepared = start(method, toy, views, key)
    scores = scores_of(method, toy, params, states, prepared, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    prediction, _ = fw.predict(method, toy, params, representations, prepared, ("category_first",))[
        "category_first"
    ]
    logits = np.asarray(prediction @ params["encoders"]["category"]["table"].T, np.float64)
    nll = np.log(np.exp(logits).sum(-1)) - logits[np.arange(4), [3, 0, 0, 4]]
    np.testing.assert_allclose(
        scores["category_first"].prediction, nll[[0, 2, 3]].mean(), rtol=1e-6
    )
    # Row 2 has no text: changing its picture moves no text loss of the first image.
    other = dict(views)
    other["label"] = views["label"]._replace(present=jnp.zeros(4, bool))
    other["text"] = views["text"]._replace(present=jnp.zeros(4, bool))
    params, states, prepared = start(method, toy, other, key)
    found = fw.gradients(method, toy, fw.constant(), params, states, prepared, balance={}, key=key)
    assert float(found.loss) == 0.0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(found.params))


@pytest.mark.parametrize("group", [0, 2])
def test_both_categories_of_a_blend_are_asked_for_one_by_one(group, toy, views, key):
    """DeiT III's BCE over binarised targets; rows with an absent category do not count."""
    method = methods.mixed_classification(binary=True, label_smoothing=0.0, mix_group=group)
    params, states, prepared = start(method, toy, views, key)
    scores = scores_of(method, toy, params, states, prepared, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    prediction, _ = fw.predict(method, toy, params, representations, prepared, ("category_both",))[
        "category_both"
    ]
    partner = np.asarray(prepared.views["mix"].regions["second"].owner)
    label, found = np.asarray(views["label"].data), []
    logits = np.float64(prediction) @ np.float64(params["encoders"]["category"]["table"]).T
    for i in range(4):
        shown = {label[i], label[partner[i]]}
        if -1 not in shown:
            yes = 1 / (1 + np.exp(-logits[i]))
            terms = [np.log(p if c in shown else 1 - p) for c, p in enumerate(yes)]
            found.append(-np.mean(terms))
    assert len(found) == 2
    np.testing.assert_allclose(scores["category_both"].prediction, np.mean(found), rtol=1e-5)


def test_blending_in_no_way_is_plain_smoothed_cross_entropy(toy, views, key):
    method = methods.mixed_classification(mixup=0.0, cutmix=0.0, label_smoothing=0.1)
    params, states, prepared = start(method, toy, views, key)
    (score,) = scores_of(method, toy, params, states, prepared, key).values()
    pixels = np.asarray(prepared.views["a"].data)
    np.testing.assert_array_equal(pixels, views["a"].data)  # nothing is mixed
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    (asked,) = method.terms
    prediction, _ = fw.predict(method, toy, params, representations, prepared, (asked,))[asked]
    logits = np.float64(prediction) @ np.float64(params["encoders"]["category"]["table"]).T
    label, count = np.asarray(views["label"].data), logits.shape[1]
    smooth = 0.9 * np.eye(count)[label] + 0.1 / count
    nll = np.log(np.exp(logits).sum(-1)) - (smooth * logits).sum(-1)
    np.testing.assert_allclose(score.prediction, nll[label >= 0].mean(), rtol=1e-6)


def test_a_class_token_on_one_side_is_a_sentence(toy, views, key):
    method = methods.create({"name": "mae"})
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    tokens = representations["y"].tokens
    more = representations | {
        "y": representations["y"]._replace(tokens=jnp.concatenate([tokens[:, :1], tokens], 1))
    }
    with pytest.raises(ConfigError, match="predicts 16 tokens of a target that has 17"):
        fw.score(method, toy, params, more, prepared, key=key)


def test_questions_asked_together_are_answered_as_if_alone(toy, views, key):
    method = methods.m3i()
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    asked = []
    counting = toy._replace(calls=toy.calls)

    class Counting(type(counting)):
        def decode(self, params, name, *args, **how):
            asked.append(name)
            return super().decode(params, name, *args, **how)

    network = Counting(*counting)
    together = fw.predict(method, network, params, representations, prepared, tuple(method.terms))
    assert sorted(asked) == ["category", "image", "text"]
    for name, (prediction, _) in together.items():
        alone, _ = fw.predict(method, toy, params, representations, prepared, (name,))[name]
        np.testing.assert_allclose(prediction, alone, rtol=1e-6, atol=1e-7)


def test_msn_asks_for_one_even_use_of_prototypes_by_all_its_anchors(toy, views, key):
    """ln K − H of the mean of all anchors, not the mean of each view's; so its gradient."""
    method = methods.msn(local=2, hidden=0.3, entropy_weight=0.7)
    views = views | {"l0": views["a"], "l1": views["b"]}
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    names = ("x_b", "x_l0", "x_l1")
    logits = np.float64(np.stack([representations[name].pooled for name in names]))

    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    mean = shares.mean((0, 1))
    expected = 0.7 * (np.log(mean.size) + (mean * np.log(mean)).sum())
    scores = fw.score(method, toy, params, representations, prepared)
    for name in names:
        np.testing.assert_allclose(scores[name].regularizer, expected, atol=1e-7)

    def loss(pooled):
        seen = {
            n: representations[n]._replace(pooled=p) for n, p in zip(names, pooled, strict=True)
        }
        scores = fw.score(method, toy, params, representations | seen, prepared)
        return sum(s.loss - method.terms[n].weight * s.prediction for n, s in scores.items())

    grad = jax.grad(loss)(jnp.stack([representations[name].pooled for name in names]))
    # dR/da = p ⊙ (ln p̄ − Σ p ln p̄) / N for each of the N anchors.
    excess = np.log(mean) - (shares * np.log(mean)).sum(-1, keepdims=True)
    wanted = 0.7 * shares * excess / (len(names) * len(logits[0]))
    np.testing.assert_allclose(grad, wanted, atol=1e-6 * np.abs(wanted).max())


def test_methods_of_a_composition_do_not_share_a_regulariser(toy, views, key):
    """One regulariser in two methods is pooled inside each, for each is a group."""
    msn = methods.msn(local=0, hidden=0.3)
    whole = replace(msn, codes=msn.codes | {"x_b": msn.codes["x_b"]._replace(mask=None)})
    method = methods.compose.combine({"one": msn, "two": whole}, weights={"two": 3.0})
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    scores = fw.score(method, toy, params, representations, prepared)
    for name, weight in (("one/x_b", 1.0), ("two/x_b", 3.0)):
        own = losses.mean_entropy(representations[name].pooled)
        np.testing.assert_allclose(scores[name].regularizer, own, rtol=1e-6)
        expected = weight * (scores[name].prediction + own)
        np.testing.assert_allclose(scores[name].loss, expected, rtol=1e-6)
    assert abs(scores["one/x_b"].regularizer - scores["two/x_b"].regularizer) > 1e-5


def test_a_decoder_that_normalises_over_the_batch_answers_each_question_alone(toy, views, key):
    """The two directions of BYOL and MoCo v3: statistics are of one view."""
    asked = []

    class Counting(type(toy)):
        def decode(self, params, name, x, **how):
            asked.append(x.pooled.shape[0])
            return super().decode(params, name, x, **how)

    for batchwise, rows in ((frozenset(), [8]), (frozenset({"predictor"}), [4, 4])):
        counting = Counting(toy.towers, [], batchwise)
        params, states, prepared = start(methods.byol(), counting, views, key)
        asked.clear()
        scores_of(methods.byol(), counting, params, states, prepared, key)
        assert asked == rows


def test_terms_that_ask_about_the_same_objects_are_answered_once(toy, views, key):
    """A detector's five losses are of one pass of its head, whose answer is a record of arrays."""
    asked = []

    class Finding(type(toy)):
        def decode(self, params, name, x, *, size, objects, **how):
            asked.append((name, size, objects.corners.shape, how["train"]))
            return {"corners": objects.corners, "seen": x.tokens.mean((1, 2))}

    corners = jnp.arange(4 * 3 * 4.0).reshape(4, 3, 4)
    said = Objects(corners, jnp.zeros((4, 3), jnp.int32))
    views = views | {"objects": View(said, present=jnp.array([True, True, True, False]))}
    of = lambda name: fw.Distribution(name, lambda y, t: y[name].mean((1, 2)[: y[name].ndim - 1]))  # noqa: E731
    terms = {
        n: fw.Term("x", "y", "finder", of(n)._replace(dense=False)) for n in ("corners", "seen")
    }
    codes = {
        "x": fw.Code("a", fw.online()),
        "y": fw.Code("objects", fw.objects(categories=2)),
    }
    method = fw.Method(codes, terms)
    network = Finding(*toy)
    params, states, prepared = start(method, network, views, key)
    scores = scores_of(method, network, params, states, prepared, key)
    assert asked == [("finder", views["a"].data.shape[1:3], (4, 3, 4), True)]
    # Of the images alone of which somebody has said what is there.
    np.testing.assert_allclose(scores["corners"].loss, corners[:3].mean(), rtol=1e-6)
    assert scores["seen"].loss != scores["corners"].loss


def cross_entropy64(logits, right, smoothing):
    """Value for each row and its gradient at the logits, from the formula."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    wanted = np.full_like(shares, smoothing / shares.shape[1])
    wanted[np.arange(len(shares)), right] += 1 - smoothing
    return -(wanted * np.log(shares)).sum(1), shares - wanted


@pytest.mark.parametrize("kind", ["category", "text"])
def test_a_term_is_that_of_the_samples_that_have_its_target(kind, toy, views, key):
    """In a mixture some samples have labels and others texts: what is not there counts nowhere."""
    method = methods.m3i(mix=False, label_smoothing=0.1)
    (name,) = [n for n, t in method.terms.items() if method.codes[t.y].view == VIEWS[kind]]
    view, term = VIEWS[kind], method.terms[name]
    have = np.flatnonzero(views[view].present)
    assert len(have) == 3

    def loss(prediction, target, rows):
        return (term.predict.score(prediction, target) * rows).mean()

    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    asked = fw.predict(method, toy, params, representations, prepared, (name,))
    prediction, target = asked[name]
    found, grad = jax.value_and_grad(loss)(prediction, target, prepared.rows[name])
    z, c = np.float64(prediction)[have], np.float64(target.candidates)
    if kind == "category":
        right = np.asarray(views[view].data)[have]
        values, at_logits = cross_entropy64(z @ c.T, right, 0.1)
        wanted = at_logits @ c / len(have)
    else:  # both ways round, among the texts that there are
        c, right = c[have], np.arange(len(have))
        there, back = (cross_entropy64(s, right, 0.0) for s in (z @ c.T, c @ z.T))
        values = (there[0] + back[0]) / 2
        wanted = (there[1] + back[1].T) @ c / 2 / len(have)
    np.testing.assert_allclose(found, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(grad[have], wanted, rtol=1e-5, atol=1e-8)
    assert not np.any(np.delete(grad, have, 0))
    # A batch without any: the term is 0, and so is its gradient; the other one is as it was.
    others = {**views, view: views[view]._replace(present=jnp.zeros(4, bool))}
    _, _, lacking = start(method, toy, others, key)
    target = fw.predict(method, toy, params, representations, lacking, (name,))[name][1]
    none, grad = jax.value_and_grad(loss)(prediction, target, lacking.rows[name])
    assert float(none) == 0.0 and not np.any(grad)

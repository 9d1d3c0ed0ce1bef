"""CIM's measures: each against its formula in NumPy, over exactly the images of the test set."""

from functools import partial

import jax
import numpy as np
import pytest

from m3i_jax.analysis import cim
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import results

RNG = np.random.default_rng(0)
BATCH, LIMIT, SEED = 4, 10, 3  # the last batch is filled up with two rows that must not count


@pytest.mark.parametrize("levels", [2, 7, 10**6])
def test_auc_counts_pairs_and_halves_ties(levels):
    scores = RNG.integers(0, levels, 60) / levels
    positive = RNG.random(60) < 0.3 + 0.4 * scores
    above = scores[positive][:, None] - scores[~positive][None]
    pairs = (above > 0).mean() + 0.5 * (above == 0).mean()
    assert cim.auc(scores, positive) == pytest.approx(pairs, abs=1e-12)
    assert cim.auc(-scores, positive) == pytest.approx(1 - pairs, abs=1e-12)


def test_auc_at_its_ends():
    positive = np.array([[True, False], [True, False]])
    assert cim.auc(positive, positive) == 1.0
    assert cim.auc(np.zeros((2, 2)), positive) == 0.5
    assert cim.auc(np.zeros(3), np.ones(3)) is None  # nothing to compare with


def test_the_best_constant_word():
    top1, nats = cim.constant(np.array([5, 5, 0, 2, 5, 0, 5, 5]))
    assert top1 == 5 / 8
    assert nats == pytest.approx(-sum(p * np.log(p) for p in (5 / 8, 2 / 8, 1 / 8)), rel=1e-12)


@pytest.fixture(scope="module")
def model(corrupting):
    """model(task) -> the run, and `look` at its test set, compiled once."""
    made = {}

    def of(task):
        if task not in made:
            run = cim.restore(corrupting(task))
            made[task] = run, partial(_look, run, jax.jit(partial(_arrays, run)))
        return made[task]

    return of


@pytest.fixture(scope="module")
def measured(model):
    """measured(task) -> (metrics without their prefix, what they are made of, the result)."""
    made = {}

    def of(task):
        if task not in made:
            run, look = model(task)
            result = cim.measure(run, limit=LIMIT, batch=BATCH, seed=SEED)
            metrics = {name.removeprefix("eval/cim/"): x for name, x in result.metrics.items()}
            made[task] = metrics, look(), result
        return made[task]

    return of


def _look(run, arrays, sampling=None):
    """Logits, target tokens, visible and replaced cells, prediction and target of every image."""
    found = []
    for i, rows in enumerate(cim.batches(run, limit=LIMIT, batch=BATCH)):
        key = jax.random.fold_in(jax.random.key(SEED), i)
        drawn = key if sampling is None else sampling
        one = arrays(run.trained.params, run.states, rows.batch, key, drawn)
        found.append(jax.tree.map(lambda x, real=rows.real: np.asarray(x)[real], one))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def _arrays(run, params, states, batch, key, sampling):
    seen = cim.look(run, params, states, batch, key=key, sampling=sampling)
    cells = seen.prepared.views["corrupted"].regions["replaced"].cells
    logits, words = seen.predicted["words"]
    task = next(name for name in seen.predicted if name != "words")
    prediction, target = seen.predicted[task]
    visible = seen.prepared.visible["guess"]
    return logits, words.target_index, visible, cells, prediction, target.tokens


def test_other_samples_are_drawn_under_the_same_mask(model):
    _, look = model("revdet")
    (logits, target_tokens, visible, cells, *_), other = look(), look(jax.random.key(9))
    for one, two in ((logits, other[0]), (target_tokens, other[1]), (visible, other[2])):
        np.testing.assert_array_equal(one, two)
    assert (cells != other[3]).any() and not (other[3] & visible).any()


@pytest.mark.parametrize("task", ["respix", "revdet"])
def test_the_generator_is_measured_at_hidden_cells(measured, task):
    metrics, (logits, target_tokens, visible, cells, *_), _ = measured(task)
    hidden = ~visible.reshape(target_tokens.shape)
    assert hidden.mean() == 0.5
    logits, words = logits[hidden].astype(np.float64), target_tokens[hidden]
    shares = np.bincount(words) / len(words)
    assert 0.2 < shares.max() < 0.95  # or a constant would be the whole truth
    assert metrics["unigram_top1"] == shares.max()
    nats = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert metrics["unigram_nats"] == pytest.approx(nats, rel=1e-12)
    # Accuracies are shares of some hundred cells: one that a rounding turns would be seen.
    assert metrics["generator_top1"] == pytest.approx((logits.argmax(-1) == words).mean(), abs=1e-7)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -np.take_along_axis(logs, words[:, None], -1).mean()
    assert metrics["generator_nats"] == pytest.approx(wanted, rel=1e-5)
    assert metrics["replaced"] == pytest.approx(
        cells.reshape(target_tokens.shape)[hidden].mean(), abs=1e-7
    )
    assert not cells[visible].any()


def test_the_detector_is_measured_over_all_cells_and_over_hidden_ones(measured):
    metrics, (_, _, visible, cells, odds, target), _ = measured("revdet")
    odds, replaced, hidden = odds.ravel(), cells.ravel(), ~visible.ravel()
    np.testing.assert_array_equal(target.ravel(), replaced)
    for name, where in (("auc", np.ones_like(hidden)), ("auc_hidden", hidden)):
        yes, no = odds[where & replaced], odds[where & ~replaced]
        above = yes[:, None] - no[None]
        wanted = (above > 0).mean() + 0.5 * (above == 0).mean()
        assert metrics[name] == pytest.approx(wanted, abs=2e-3)  # logits that a rounding turns
    assert not any("respix" in name for name in metrics)


def test_the_repair_is_measured_beside_a_prediction_of_zero(measured):
    metrics, (*_, prediction, target), _ = measured("respix")
    error, target = (prediction - target).astype(np.float64), target.astype(np.float64)
    wanted = {
        "respix_l1": abs(error).mean(),
        "respix_l2": (error**2).mean(),
        "respix_l1_zero": abs(target).mean(),
        "respix_l2_zero": (target**2).mean(),
    }
    for name, value in wanted.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5), name
    assert not any("auc" in name for name in metrics)


def test_the_result_is_one_line_of_the_record(measured, tmp_path):
    *_, result = measured("revdet")
    assert result.counts == {"test": LIMIT} and (result.branch, result.step) == ("online", 7)
    results.write(tmp_path, [result])
    assert results.read(tmp_path) == [result]
    assert result.protocol["task"] == "revdet" and "generator_top1" in results.table([result])


def test_what_is_no_run_of_cim_is_refused(corrupting, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="has no checkpoints; expected the --workdir"):
        cim.restore(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match="has no sound checkpoint yet"):
        cim.restore(tmp_path)
    trained = cim.models.restore(corrupting("respix"), branch="online")
    other = trained.config.objective | {"name": "mae"}
    config = type(trained.config)(**{**vars(trained.config), "objective": other})
    monkeypatch.setattr(cim.models, "restore", lambda *_, **__: trained._replace(config=config))
    with pytest.raises(ConfigError, match="is a run of 'mae'; only those of 'cim'"):
        cim.restore(tmp_path)

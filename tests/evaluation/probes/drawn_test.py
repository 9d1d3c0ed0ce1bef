"""With the encoder in the step: heads take the steps that torch takes on the same crops."""

import itertools

import jax
import numpy as np
import pytest

from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.probes import drawn, grid, heads
from m3i_jax.evaluation.probes.rows import split
from tests.evaluation.probes.grid_test import plan
from tests.evaluation.shades import evaluation

torch = pytest.importorskip("torch")

KINDS = {"cls": {"pool": "cls"}, "both of 2": {"pool": "both", "blocks": 2}}


def test_heads_take_torchs_steps_on_new_crops_of_each_epoch():
    whole = evaluation()
    wanted = plan(steps=9, batch=16, rates=(0.01, 1.0))
    rows = drawn.rows(whole, KINDS, choose="held_out", seed=0, what="heads")
    found = grid.train(wanted, rows, what="heads")
    assert found.batch == 16 and rows.learn == 36, "of 45, 6 have no label, and 3 are held out"
    batches = [*itertools.islice(whole.drawn(_learn(whole), batch=16, seed=0), 9)]
    params = whole.model.params
    for kind, how in KINDS.items():
        table, see = found.tables[kind], jax.jit(whole.seeing({"": how}))
        for number, rate in enumerate(wanted.rates):
            begun = heads.linear_start(
                jax.random.split(jax.random.key(0), 2)[number], table.params["kernel"].shape[1], 2
            )
            leaves = [
                torch.tensor(np.asarray(begun[n]), dtype=torch.float64, requires_grad=True)
                for n in ("kernel", "bias")
            ]
            peer = torch.optim.SGD(leaves, lr=1.0, momentum=0.9)
            for factor, (images, labels) in zip(heads.cosine(9), batches, strict=True):
                x = see(params, np.asarray(images))[""]
                scores = torch.tensor(np.asarray(x, np.float64)) @ leaves[0] + leaves[1]
                y = torch.tensor(np.asarray(labels), dtype=torch.long)
                peer.param_groups[0]["lr"] = factor * rate * 16 / 256
                peer.zero_grad()
                torch.nn.functional.cross_entropy(scores, y).backward()
                peer.step()
            # Nine steps in float32.
            np.testing.assert_allclose(
                table.params["kernel"][number], leaves[0].detach(), atol=5e-6
            )


def _learn(whole):
    labelled = np.flatnonzero(whole.source("train").labels >= 0)
    return labelled[split(len(labelled), choose="held_out", seed=0)[0]]


def test_one_forward_pass_feeds_all_kinds(monkeypatch):
    whole, passes = evaluation(), []
    encode = models.encode
    monkeypatch.setattr(models, "encode", lambda *x, **how: passes.append(how) or encode(*x, **how))
    see = whole.seeing(KINDS)
    see(whole.model.params, np.zeros((8, 8, 8, 3), np.uint8))
    assert passes == [{"layers": True}]


def test_whole_images_judge_each_once_and_by_their_labels():
    whole = evaluation()
    rows = drawn.rows(whole, KINDS, choose="held_out", seed=0, what="heads")
    found = grid.train(plan(steps=30, batch=16), rows, what="heads")
    table = found.tables[found.kind].only(found.best)
    test = whole.features("test", **KINDS[found.kind])
    kept = test.labels >= 0
    scores = np.asarray(heads.scores(heads.linear, table, test.features[kept]))[0]
    assert found.tested == kept.sum() == 18
    assert found.tally.metrics["top1"] == (scores.argmax(1) == test.labels[kept]).mean()
    train = whole.features("train", **KINDS[found.kind])
    held = np.setdiff1d(np.flatnonzero(train.labels >= 0), _learn(whole))
    scores = np.asarray(heads.scores(heads.linear, table, train.features[held]))[0]
    share = (scores.argmax(1) == train.labels[held]).mean()
    assert found.shares[found.kind].max() == share


def test_crops_are_drawn_anew_in_each_epoch_and_every_record_is_once_in_it():
    whole, rows = evaluation(), np.arange(16)
    first, second = itertools.islice(whole.drawn(rows, batch=16, seed=3), 2)
    again = next(whole.drawn(rows, batch=16, seed=3))
    np.testing.assert_array_equal(first[0], again[0])
    for images, labels in (first, second):
        assert images.shape == (16, 8, 8, 3)
        expected = [whole.source("train")[i].label for i in rows]
        assert sorted(np.asarray(labels)) == sorted(expected)
    seen = {np.asarray(image).tobytes() for images, _ in (first, second) for image in images}
    assert len(seen) == 32


@pytest.mark.parametrize("labelled", [True, False])
def test_too_little_to_learn_from_is_a_sentence(labelled):
    with pytest.raises(NotMeasurable, match="heads (needs two training|tells classes apart)"):
        drawn.rows(
            evaluation(train=1, labelled=labelled), KINDS, choose="held_out", seed=0, what="heads"
        )


def test_labels_that_nobody_knows_before_reading_weigh_nothing():
    silent = evaluation(labelled=False)
    rows = drawn.rows(silent, KINDS, choose="held_out", seed=0, what="heads")
    found = grid.train(plan(steps=4, batch=16), rows, what="heads")
    assert rows.learn == 41 and found.tested == 18

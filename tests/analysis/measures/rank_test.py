"""The spectrum of each block's features is that of its pooled tokens, in float64."""

import numpy as np
import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation.features import NotMeasurable
from tests.analysis import toy_blocks

POOLED = {"mean": lambda x: x[:, :, 1:].mean(2), "cls": lambda x: x[:, :, 0]}


def directions(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("pool", POOLED)
def test_each_block_has_its_own_spectrum(pool, tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "rank", "pool": pool}])
    shown = toy_blocks.shown(measure, evaluation)
    assert shown.protocol == {"dim": [16, 16, 16]} and shown.counts == {"test": 43}
    for number, x in enumerate(POOLED[pool](toy_blocks.tokens(evaluation)).swapaxes(0, 1)):
        share = np.linalg.eigvalsh(np.cov(x.T)).clip(0)
        share = share[share > 0] / share.sum()
        u = directions(x)
        near = np.exp(-2 * np.square(u[:, None] - u[None]).sum(-1))[~np.eye(len(u), dtype=bool)]
        right = {
            "effective_rank": np.exp(-(share * np.log(share)).sum()),
            "participation": 1 / np.square(share).sum(),
            "uniformity": np.log(near.mean()),
        }
        for name, value in right.items():
            assert shown.values[name][number] == pytest.approx(value, rel=1e-4, abs=1e-5), name
        assert 0 < shown.values["alignment"][number] < 2


def test_alignment_is_of_two_crops_that_are_the_same_each_time(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path, test_limit=16)
    by = {seed: measures.create([{"name": "rank", "seed": seed}])[0] for seed in (0, 1)}
    shown = [toy_blocks.shown(by[seed], evaluation).values["alignment"] for seed in (0, 0, 1)]
    assert shown[0] == shown[1] != shown[2]
    (measure,) = measures.create([{"name": "rank", "views": False}])
    assert "alignment" not in toy_blocks.shown(measure, evaluation).values


def test_one_image_has_no_rank(tmp_path):
    with pytest.raises(NotMeasurable, match="needs two images"):
        (measure,) = measures.create([{"name": "rank"}])
        toy_blocks.shown(measure, toy_blocks.evaluation(tmp_path, test_limit=1))

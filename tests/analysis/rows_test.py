"""One pass brings back the rows of every look, of the images that can be read, block by block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.analysis.measure import Look
from m3i_jax.analysis.rows import observed
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from tests.evaluation import toy_models

SWIN = dict(name="swin_v2_t", image=32, width=8, depths=(1, 2), heads=(1, 2), window=4)
ENCODERS = {"vit": (None, 1), "swin": (SWIN, 3)}

LOOKS = {
    "means": Look(layers=lambda x: {"mean": x.mean((1, 2)), "first": x[:, 0, :3]}),
    "peaks": Look(
        attention=lambda scores: jax.nn.softmax(scores.logits).max((-1, -2)),
        layers=lambda x: x.max((1, 2)),
    ),
}


def toy(tmp_path, encoder):
    run = toy_models.of(tmp_path)
    model = run if encoder is None else models.fresh(encoder, seed=1)
    return Evaluation(model, datasets.of_run(run), batch=10, quiet=True)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rows_are_those_of_what_blocks_return_whole(encoder, tmp_path):
    block, depth = ENCODERS[encoder]
    evaluation = toy(tmp_path, block)
    rows = observed(evaluation, LOOKS)

    def whole(params, images):
        features = evaluation.encode(params, images, layers=True, attention=True)
        peaks = [x.max((-1, -2)).reshape(len(images), -1) for x in features.attention]
        tokens = list(features.layers)
        if features.layers_pooled is not None:
            pairs = zip(features.layers_pooled, tokens, strict=True)
            tokens = [jnp.concatenate([first[:, None], x], axis=1) for first, x in pairs]
        parts = [*peaks, *(x.mean((1, 2))[:, None] for x in tokens), *(x[:, 0, :3] for x in tokens)]
        return jnp.concatenate(parts, axis=1)

    expected = evaluation.mapped("test", whole, name="whole")
    means, peaks = rows["means"], rows["peaks"]
    assert len(means.layers) == len(peaks.layers) == len(peaks.attention) == depth
    assert means.attention == () and means.batch == evaluation.batch("test")
    count = len(means.index)
    assert count == len(evaluation.source("test")) and count % means.batch  # it is padded
    got = [
        *(x.reshape(count, -1) for x in peaks.attention),
        *(block["mean"][:, None] for block in means.layers),
        *(block["first"] for block in means.layers),
    ]
    # The same products, summed in another order.
    np.testing.assert_allclose(np.concatenate(got, 1), expected.features, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(means.index, expected.index)
    np.testing.assert_array_equal(means.labels, expected.labels)


def test_no_looks_no_pass(tmp_path):
    assert observed(toy(tmp_path, None), {}) == {}

"""CutDepth: a strip of depth, as wide as the formula says, and nothing else."""

import numpy as np

from m3i_jax.data.views.cut_depth import cut_depth


def test_a_strip_from_edge_to_edge_shows_depth():
    image = np.full((6, 100, 3), 200, np.uint8)
    depth = np.tile(np.arange(100, dtype=np.float32) + 0.7, (6, 1))
    depth[0] = np.nan
    for seed in range(20):
        alpha, beta = np.random.default_rng(seed).random(2)
        cut = cut_depth(image, depth, np.random.default_rng(seed))
        left, width = int(alpha * 100), int(max(0.75 * beta * (100 - alpha * 100), 1))
        strip = slice(left, left + width)
        assert (cut[1:, strip] == np.floor(depth[1:, strip])[..., None]).all()
        assert not cut[0, strip].any()
        assert (np.delete(cut, np.r_[strip], axis=1) == 200).all() and (image == 200).all()

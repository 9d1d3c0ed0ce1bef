"""Histograms of gradients: torch's convolutions in float64, ramps by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import histograms


def counted(images, patch, cell):
    """The definition, a loop over pixels behind a convolution in float64."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(np.float64(images)).permute(0, 3, 1, 2)
    b, c, height, width = x.shape
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).double()
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect").reshape(b * c, 1, *[
        side + 2 for side in (height, width)
    ])  # fmt: skip
    across, down = (
        torch.nn.functional.conv2d(wide, k[None, None]).reshape(x.shape) for k in (sobel, sobel.T)
    )
    across, down = (torch.where(g.abs() < 1e-5, 0.0, g) for g in (across, down))
    length = torch.hypot(across, down).numpy()
    bins = np.int64(np.floor(torch.atan2(across, down).numpy() / np.pi * 9)) % 9
    sums = np.zeros((b, c, 9, height // cell, width // cell))
    for place in np.ndindex(b, c, height, width):
        i, k, row, column = place
        sums[i, k, bins[place], row // cell, column // cell] += length[place]
    norms = np.sqrt(np.square(sums).sum(2, keepdims=True))
    sums = sums / np.where(norms > 0, norms, 1.0)
    k, h, w = patch // cell, height // patch, width // patch
    # (B, C, 9, h, k, w, k) -> (B, h·w, C·9·k·k)
    parts = sums.reshape(b, c, 9, h, k, w, k).transpose(0, 3, 5, 1, 2, 4, 6)
    return parts.reshape(b, h * w, -1)


def levels(rng, *shape):
    """Pixels of 256 levels as encoders are given them."""
    return np.float32(rng.integers(0, 256, shape) / 255 - 0.45) / np.float32(0.225)


@pytest.mark.parametrize("patch, cell", [(16, 8), (8, 8), (16, 4)])
def test_hog_is_the_definition(patch, cell):
    images = levels(np.random.default_rng(0), 2, 32, 48, 3)
    found = jax.jit(lambda x: histograms.hog(x, patch=patch, cell=cell))(images)
    assert found.shape == (2, 32 * 48 // patch**2, 27 * (patch // cell) ** 2)
    np.testing.assert_allclose(found, counted(images, patch, cell), atol=2e-6)


def test_nothing_on_an_even_image_and_one_bin_on_a_ramp():
    ramp = jnp.broadcast_to(jnp.arange(16.0)[None, None, :, None], (1, 16, 16, 3)) * 0.1
    hog = lambda x: histograms.hog(x, patch=16).reshape(3, 9, 4)  # noqa: E731
    assert not np.any(hog(jnp.full((1, 16, 16, 3), 0.3)))
    across, down = hog(ramp), hog(ramp.swapaxes(1, 2))
    for found, bin in ((across, 4), (down, 0)):  # 90° is the middle of the nine, 0° the first
        np.testing.assert_allclose(found[:, bin], 1.0, rtol=1e-6)
        assert np.count_nonzero(found) == 12
    np.testing.assert_allclose(hog(-ramp), across, atol=1e-6)  # which side is bright says nothing


def test_patches_of_parts_of_cells_are_refused():
    with pytest.raises(ValueError, match="of 12 pixels is not made of whole cells of 8"):
        histograms.hog(jnp.zeros((1, 24, 24, 3)), patch=12)

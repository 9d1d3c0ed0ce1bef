"""DCNv3 against torch's grid_sample, as the official code formulates it without CUDA."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax.nn.deformable import dcnv3

torch = pytest.importorskip("torch")


def by_grid_sample(values, offsets, masks, *, padding, dilation, offset_scale):
    """NHWC in and out, kernel 3, stride 1, in coordinates of the padded map."""
    batch, rows, columns, groups, points, _ = offsets.shape
    padded = torch.nn.functional.pad(values, (0, 0, padding, padding, padding, padding))
    height, width, channels = padded.shape[1:]
    line = dilation * torch.arange(-1.0, 2.0)
    taps = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(points, 2)
    y = dilation + torch.arange(float(rows))
    x = dilation + torch.arange(float(columns))
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None, :, :, None, None]
    places = centres + offset_scale * (taps + offsets)
    places = (2 * places + 1) / torch.tensor([width, height]) - 1
    places = places.permute(0, 3, 1, 2, 4, 5).reshape(batch * groups, rows * columns, points, 2)
    maps = padded.permute(0, 3, 1, 2).reshape(batch * groups, -1, height, width)
    read = torch.nn.functional.grid_sample(maps, places.to(maps.dtype), align_corners=False)
    weights = masks.permute(0, 3, 1, 2, 4).reshape(batch * groups, 1, rows * columns, points)
    y = (read * weights).sum(-1).reshape(batch, channels, rows, columns)
    return y.permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    "how",
    [
        dict(padding=1, dilation=1, offset_scale=1.0),
        dict(padding=1, dilation=1, offset_scale=2.0),
        dict(padding=2, dilation=2, offset_scale=0.5),
    ],
)
def test_result_and_gradients(how):
    rng = np.random.default_rng(0)
    shape = 2, 9, 7, 4, 9
    arrays = rng.normal(size=(2, 9, 7, 16)), 2 * rng.normal(size=(*shape, 2)), rng.random(shape)
    *arrays, g = (np.float32(x) for x in (*arrays, rng.normal(size=(2, 9, 7, 16))))
    y, pull = jax.vjp(functools.partial(dcnv3, **how), *arrays)
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in arrays]
    want = by_grid_sample(*tensors, **how)
    want.backward(torch.tensor(g, dtype=torch.float64))
    grads = (x.grad for x in tensors)
    for got, other in zip((y, *pull(g)), (want.detach(), *grads), strict=True):
        np.testing.assert_allclose(got, other.numpy(), rtol=2e-5, atol=2e-5)

"""DCNv3 against torch's grid_sample, as the official code formulates it without CUDA; deformable
attention against that of transformers."""

import functools

import jax
import numpy as np
import pytest

from m3i_jax.nn.deformable import dcnv3
from m3i_jax.nn.deformable_attention import DeformableAttention
from tests.heads.transformer_layers import drawn_anew, linear_of

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


GRIDS = ((5, 4), (3, 2), (1, 2))


@pytest.mark.parametrize("sides", [2, 4])
def test_deformable_attention_of_transformers(sides):
    """Values, and gradients of all that goes in, around points and around boxes."""
    peers = pytest.importorskip("transformers.models.deformable_detr.modeling_deformable_detr")
    config = peers.DeformableDetrConfig(d_model=24, num_feature_levels=3)
    peer = peers.DeformableDetrMultiscaleDeformableAttention(config, num_heads=2, n_points=4)
    drawn_anew(torch, peer)
    rng, count = np.random.default_rng(0), sum(h * w for h, w in GRIDS)
    queries, cells, g = (rng.normal(size=(2, n, 24)) for n in (7, count, 7))
    around = rng.uniform(-0.1, 1.1, size=(2, 7, sides))
    arrays = [torch.tensor(x, dtype=torch.float32, requires_grad=True) for x in (queries, cells)]
    arrays.append(torch.tensor(around, dtype=torch.float32, requires_grad=True))
    want, _ = peer(
        arrays[0],
        encoder_hidden_states=arrays[1],
        reference_points=arrays[2][:, :, None].expand(-1, -1, 3, -1),
        spatial_shapes=torch.tensor(GRIDS),
        spatial_shapes_list=GRIDS,
        level_start_index=None,
    )
    want.backward(torch.tensor(g, dtype=torch.float32))
    names = "value_proj", "output_proj", "sampling_offsets", "attention_weights"
    params = {name: linear_of(getattr(peer, name)) for name in names}
    module = DeformableAttention(2, 3)

    def run(params, queries, around, cells):
        return module.apply({"params": params}, queries, around, cells, GRIDS)

    y, pull = jax.vjp(jax.jit(run), params, *map(np.float32, (queries, around, cells)))
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-4, atol=1e-4)
    grads, *inputs = pull(np.float32(g))
    for got, other in zip(inputs, (arrays[0], arrays[2], arrays[1]), strict=True):
        np.testing.assert_allclose(got, other.grad.numpy(), rtol=1e-4, atol=1e-4)
    for name in names:
        layer = getattr(peer, name)
        kernel, bias = layer.weight.grad.numpy().T, layer.bias.grad.numpy()
        np.testing.assert_allclose(grads[name]["kernel"], kernel, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(grads[name]["bias"], bias, rtol=1e-4, atol=1e-4)

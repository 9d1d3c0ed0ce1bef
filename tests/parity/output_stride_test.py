"""Stages with holes in their kernels, beside timm's."""

import jax
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.interop import importing
from m3i_jax.interop.rename import nested

torch = pytest.importorskip("torch")
resnet = pytest.importorskip("timm.models.resnet")


def test_stages_with_holes_are_those_of_timm():
    """An output stride of 8: the same weights, kernels further apart (FCN, DeepLab)."""
    torch.manual_seed(0)
    theirs = resnet.ResNet(
        resnet.BasicBlock, (1, 2, 2, 2), num_classes=0, global_pool="", output_stride=8
    ).eval()
    for name, weights in theirs.state_dict().items():
        if "running_var" in name:
            weights.uniform_(0.5, 1.5)
    sizes = dict(image=64, depths=(1, 2, 2, 2), block="basic", output_stride=8)
    ours = encoders.create("resnet18", **sizes)
    assert (ours.reach, ours.patch, ours.grid) == ((4, 8, 8, 8), 8, (8, 8))
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    state = {name: x.numpy() for name, x in theirs.state_dict().items()}
    flat = importing.renamed(state, layout="resnet", what="timm").params
    params = nested({p.removeprefix("encoders/image/"): x for p, x in flat.items()})
    with torch.no_grad():
        wanted = theirs(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    tokens = jax.jit(ours.apply)({"params": params}, images).tokens
    np.testing.assert_allclose(
        np.asarray(tokens).reshape(1, 8, 12, 512).transpose(0, 3, 1, 2),
        wanted,
        atol=2e-4,
        rtol=1e-4,
    )

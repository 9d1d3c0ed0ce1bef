"""What tests of heads with queries have in common: parameters of PyTorch's layers, as ours."""

import jax
import numpy as np


def drawn_anew(torch, model):
    """Every parameter drawn: norms around 1, weights so that their sums are of about 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim > 1:
                p.copy_(noise / p[0].numel() ** 0.5)
            else:
                p.copy_(0.3 * noise + float("norm" in name and name.endswith("weight")))
    return model.eval()


def array(x):
    return x.detach().numpy().copy()


def linear_of(layer):
    """Our {kernel, bias} of a linear layer, or of a convolution."""
    weight = array(layer.weight)
    kernel = weight.T if weight.ndim == 2 else weight.transpose(2, 3, 1, 0)
    return (
        {"kernel": kernel} if layer.bias is None else {"kernel": kernel, "bias": array(layer.bias)}
    )


def norm_of(layer):
    """Our {scale, bias} of a layer norm, or of a group norm."""
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def stacked(layers):
    """Parameters of several layers as those of one, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *layers)

"""What tests of heads have in common: maps, parameters, layers in float64 and those of PyTorch."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax import trees
from m3i_jax.types import Features


def features(*shapes):
    """Features with maps (B, h, w, D) of these shapes."""
    draw = np.random.default_rng(0).normal
    return Features(maps=tuple(jnp.float32(draw(size=shape)) for shape in shapes))


def shapes_of(module, x, **how):
    make = lambda key, x: module.init(key, x, **how)  # noqa: E731
    return jax.eval_shape(make, jax.random.key(0), x)["params"]


def count(module, *shapes):
    """Parameters that are trained, for maps of these shapes."""
    maps = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return trees.count(trees.drop(shapes_of(module, Features(maps=maps)), trees.STATISTICS))


def drawn(module, x, **how):
    """Parameters without any zeros or ones, through which maps keep their differences."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path.endswith("kernel"):
            return jnp.float32(rng.normal(0, math.prod(leaf.shape[:-1]) ** -0.5, leaf.shape))
        y = rng.normal(0.1, 0.3, leaf.shape) + path.endswith("scale")
        return jnp.float32(0.5 + np.abs(y) if path.endswith("var") else y)

    return trees.map_with_name(draw, shapes_of(module, x, **how))


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def apply(module, params, x, *, train=False, rngs=None):
    return module.apply({"params": params}, x, train=train, rngs=rngs)


@functools.partial(jax.jit, static_argnums=0)
def moved(module, params, x):
    """What training makes of maps, and parameters behind a step that moves statistics alone."""

    def loss(params):
        y = module.apply({"params": params}, x, train=True)
        return jnp.sin(y).mean(), y

    grads, y = jax.grad(loss, has_aux=True)(params)
    grads = dict(trees.named_leaves(grads))
    step = lambda path, p: p - grads[path] if path.endswith(("mean", "var")) else p  # noqa: E731
    return y, trees.map_with_name(step, params)


def wide(tree):
    return jax.tree.map(np.float64, tree)


def conv_(p, x):
    size = p["kernel"].shape[0]
    padded = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"]) + p.get("bias", 0)


def deconv_(p, x):
    """y[2i + t − p] += x[i] w[t], cut to the doubled map."""
    (batch, height, width, _), size = x.shape, len(p["kernel"])
    around = size // 2 - 1
    y = np.zeros((batch, 2 * height + 4, 2 * width + 4, p["kernel"].shape[-1]))
    for i in range(height):
        for j in range(width):
            part = np.einsum("bc,tucd->btud", x[:, i, j], p["kernel"])
            y[:, 2 * i : 2 * i + size, 2 * j : 2 * j + size] += part
    y = y[:, around : around + 2 * height, around : around + 2 * width]
    return y + p.get("bias", 0)


def norm_(p, x, train):
    mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if train else (p["mean"], p["var"])
    return (x - mean) / np.sqrt(var + 1e-5) * p["scale"] + p["bias"]


def resize_(x, grid):
    """Linear between the centres of cells, in float64, one axis after the other."""
    for axis, to in zip((1, 2), grid, strict=True):
        size = x.shape[axis]
        place = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        share = np.expand_dims(place - low, [n for n in range(4) if n != axis])
        high = np.minimum(low + 1, size - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def head_(p, x):
    return x @ p["kernel"] + p["bias"]


def array(x):
    return x.detach().numpy().copy()


def kernel_of(conv):
    """Ours of a convolution of PyTorch's, which may be a transposed one."""
    axes = (2, 3, 0, 1) if hasattr(conv, "output_padding") and conv.transposed else (2, 3, 1, 0)
    made = {"kernel": array(conv.weight).transpose(axes)}
    return made if conv.bias is None else made | {"bias": array(conv.bias)}


def norm_of(norm):
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    return {ours: array(getattr(norm, theirs)) for ours, theirs in names.items()}


def layer_of(conv, norm):
    """Our {conv, norm} of a convolution and a batch norm, which takes a bias off again."""
    made, norm = kernel_of(conv), norm_of(norm)
    norm["mean"] = norm["mean"] - made.pop("bias", 0)
    return {"conv": made, "norm": norm}


def head_of(conv):
    """Our linear layer of a convolution 1×1."""
    return {"kernel": array(conv.weight)[:, :, 0, 0].T, "bias": array(conv.bias)}


def draw_torch(torch, model):
    """Norms drawn around where they start, and kernels large enough to matter."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda x: torch.randn(x.shape, generator=generator)  # noqa: E731
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for x in (module.weight, module.bias, module.running_mean):
                    x.add_(0.3 * draw(x))
                module.running_var.add_(draw(module.running_var).abs())
            elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.weight.copy_(draw(module.weight) / math.sqrt(module.weight[0].numel()))
                if module.bias is not None:
                    module.bias.copy_(draw(module.bias))


def ours(x):
    """A map of PyTorch's, with channels last."""
    return x.detach().permute(0, 2, 3, 1).numpy()

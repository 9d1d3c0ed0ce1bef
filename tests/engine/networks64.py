"""The networks of the published recipes once more, in float64 by torch's own operators.

They read our parameters by name, so a name that moves fails here; images are NHWC as the host gives
them. `Passes` collects what batch norms of an encoder see: running statistics follow it.
"""

import math

import torch
import torch.nn.functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPS = 1e-5  # of every batch norm


def images(uint8):
    """(B, H, W, 3) bytes -> (B, 3, H, W), normalised as ImageNet's."""
    x = torch.as_tensor(uint8, dtype=torch.float64) / 255.0
    return ((x - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def unit(x):
    """x / |x|."""
    return x / x.norm(dim=-1, keepdim=True)


class Passes(dict):
    """{path of a batch norm: [(mean, unbiased variance) of each pass]}."""

    def see(self, path, x, axes):
        seen = x.detach()
        self.setdefault(path, []).append((seen.mean(axes), seen.var(axes, unbiased=True)))


def linear(p, x):
    return x @ p["kernel"] + p["bias"] if "bias" in p else x @ p["kernel"]


def layer_norm(p, x, eps):
    return F.layer_norm(x, x.shape[-1:], p["scale"], p["bias"], eps)


def batch_norm(p, x):
    """By the batch: (B, D), or (B, n, D); `p` may lack scale and bias."""
    axes = tuple(range(x.ndim - 1))
    y = (x - x.mean(axes)) / (x.var(axes, unbiased=False) + EPS).sqrt()
    return y * p.get("scale", 1.0) + p.get("bias", 0.0)


def convolve(p, x, stride=1):
    kernel = p["kernel"].permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)


def resnet(p, x, passes):
    """(B, 3, H, W) -> tokens (B, h·w, D): torchvision's bottlenecks behind the 7×7 stem."""

    def norm(p, x, path):
        passes.see(path, x, (0, 2, 3))
        return F.batch_norm(x, None, None, p["scale"], p["bias"], training=True, eps=EPS)

    stem = p["patch_embed"]
    x = F.relu(norm(stem["norm"], convolve(stem["conv"], x, 2), "patch_embed/norm"))
    x = F.max_pool2d(x, 3, 2, 1)
    for i in range(sum(name.startswith("stages_") for name in p)):
        stage = p[f"stages_{i}"]
        for j in range(len(stage)):
            block, path = stage[f"blocks_{j}"], f"stages_{i}/blocks_{j}"
            stride = 2 if i and not j else 1
            y = x
            for k in (1, 2, 3):
                y = convolve(block[f"conv{k}"], F.relu(y) if k > 1 else y, stride if k == 2 else 1)
                y = norm(block[f"norm{k}"], y, f"{path}/norm{k}")
            if "downsample" in block:
                down = block["downsample"]
                x = convolve(down["conv"], x, stride)
                x = norm(down["norm"], x, f"{path}/downsample/norm")
            x = F.relu(x + y)
    return x.flatten(2).transpose(1, 2)


def attend(p, x, heads, mask=None):
    b, n, d = x.shape
    q, k, v = linear(p["qkv"], x).reshape(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * (d // heads) ** -0.5
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return linear(p["proj"], (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))


def blocks(p, x, *, heads, eps, activation, mask=None):
    """Pre-norm blocks, whose parameters are stacked along depth."""
    for i in range(p["norm1"]["scale"].shape[0]):
        layer = at_depth(p, i)
        scaled = lambda n, y: layer[n]["gamma"] * y if n in layer else y  # noqa: B023, E731
        y = attend(layer["attn"], layer_norm(layer["norm1"], x, eps), heads, mask)
        x = x + scaled("ls1", y)
        y = linear(layer["mlp"]["fc1"], layer_norm(layer["norm2"], x, eps))
        x = x + scaled("ls2", linear(layer["mlp"]["fc2"], activation(y)))
    return x


def at_depth(tree, i):
    """The parameters of block `i` of a stack."""
    return {k: at_depth(v, i) if isinstance(v, dict) else v[i] for k, v in tree.items()}


def vit(p, x, *, patch, heads):
    """(B, 3, H, W) -> the class token (B, D); positions learned, or fixed where `p` has none."""
    b, _, h, w = x.shape
    grid = h // patch, w // patch
    x = x.reshape(b, 3, grid[0], patch, grid[1], patch).permute(0, 2, 4, 3, 5, 1)
    x = linear(p["patch_embed"], x.reshape(b, grid[0] * grid[1], -1))
    x = torch.cat([p["cls_token"].expand(b, -1, -1), x], 1)
    x = x + (p["pos_embed"] if "pos_embed" in p else sincos(grid, x.shape[-1]))
    x = blocks(p["blocks"], x, heads=heads, eps=1e-6, activation=F.gelu)
    return layer_norm(p["norm"], x, 1e-6)[:, 0]


def sincos(grid, width):
    """(1 + h·w, D): zeros for the class token, then [sin r, cos r, sin c, cos c] (Chen 2021)."""
    omega = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows = torch.arange(grid[0], dtype=torch.float64).repeat_interleave(grid[1])[:, None] * omega
    columns = torch.arange(grid[1], dtype=torch.float64).repeat(grid[0])[:, None] * omega
    table = torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], 1)
    return torch.cat([torch.zeros(1, width), table])


def clip_text(p, tokens, *, heads):
    """(B, T) ids -> (B, D), CLIP's causal transformer read at the last token that is no padding."""
    tokens = torch.as_tensor(tokens, dtype=torch.long)
    count = tokens.shape[1]
    x = p["token_embed"][tokens] + p["pos_embed"][:count]
    mask = torch.ones(count, count, dtype=torch.bool).tril()
    quick = lambda x: x * torch.sigmoid(1.702 * x)  # noqa: E731
    x = blocks(p["blocks"], x, heads=heads, eps=1e-5, activation=quick, mask=mask)
    last = (tokens != 0).sum(1) - 1
    x = layer_norm(p["norm"], x[torch.arange(len(x)), last], 1e-5)
    return linear(p["projection"], x)


def mlp(p, x, *, layers, norm=True, norm_out=False, activation=F.relu):
    """Linear, batch norm, ReLU, ..., Linear; `norm_out`: a batch norm behind it, affine or not."""
    for i in range(1, layers):
        x = linear(p[f"fc{i}"], x)
        x = activation(batch_norm(p[f"norm{i}"], x) if norm else x)
    x = linear(p[f"fc{layers}"], x)
    return batch_norm(p.get(f"norm{layers}", {}), x) if norm_out else x

"""Weights of transformers' models in our parameter trees, for models of random weights."""

import re

import jax
import numpy as np
import pytest

# What the parts of a block are called there, in one model or the other; the first match counts.
PARTS = (
    ("q", r"(attention\.query|q_proj)$"),
    ("k", r"(attention\.key|k_proj)$"),
    ("v", r"(attention\.value|v_proj)$"),
    ("attn/proj", r"(attention\.output\.dense|o_proj|out_proj)$"),
    ("attn/relative_position/table", r"relative_position_bias_table$"),
    ("mlp/fc1", r"(mlp\.fc1|intermediate\.dense)$"),
    ("mlp/fc2", r"(mlp\.fc2|output\.dense)$"),
    ("norm1", r"(layernorm_before|layer_norm1)$"),
    ("norm2", r"(layernorm_after|layer_norm2)$"),
    ("ls1/gamma", r"lambda_1$"),
    ("ls2/gamma", r"lambda_2$"),
)


class Weights:
    """The state dict of a torch model, read in our layouts."""

    def __init__(self, model):
        self.state = {name: x.detach().numpy() for name, x in model.state_dict().items()}

    def __getitem__(self, name):
        return self.state[name]

    def linear(self, name):
        bias = {"bias": self[f"{name}.bias"]} if f"{name}.bias" in self.state else {}
        return {"kernel": self[f"{name}.weight"].T, **bias}

    def norm(self, name):
        return {"scale": self[f"{name}.weight"], "bias": self[f"{name}.bias"]}

    def patches(self, name):
        """A convolution (D, C, p, p) as a map of pixels in row-major order, channel last."""
        kernel = self[f"{name}.weight"].transpose(2, 3, 1, 0)
        bias = {"bias": self[f"{name}.bias"]} if f"{name}.bias" in self.state else {}
        return {"kernel": kernel.reshape(-1, kernel.shape[-1]), **bias}

    def blocks(self, prefix):
        """All blocks `prefix.{i}.`, stacked."""
        blocks = []
        while names := [n for n in self.state if n.startswith(f"{prefix}.{len(blocks)}.")]:
            blocks.append(self._block(names))
        assert blocks, f"no blocks {prefix}"
        return jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)

    def _block(self, names):
        """Nested parameters of one block, each of its names read exactly once."""
        found = {}
        for name in names:
            part, kind = re.sub(r"\.(weight|bias)$", "", name), name.rsplit(".", 1)[-1]
            ours = next((ours for ours, pattern in PARTS if re.search(pattern, part)), None)
            assert ours, f"nothing of ours is {name}"
            kind = kind if kind in ("weight", "bias") else ""
            assert (ours, kind) not in found, f"{name} is another {ours}"
            found[ours, kind] = self[name]
        qkv = [found.pop((i, "weight")) for i in "qkv"]
        flat = {"attn/qkv/kernel": np.concatenate(qkv).T}
        if ("k", "bias") in found:
            flat["attn/qkv/bias"] = np.concatenate([found.pop((i, "bias")) for i in "qkv"])
        else:
            flat |= {f"attn/{i}_bias": found.pop((i, "bias")) for i in "qv"}
        for (ours, kind), x in found.items():
            leaf = {"weight": "scale" if "norm" in ours else "kernel", "bias": "bias", "": ""}[kind]
            flat["/".join(filter(None, (ours, leaf)))] = x.T if leaf == "kernel" else x
        return nested(flat)


def nested(flat):
    tree = {}
    for path, leaf in flat.items():
        *parents, last = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = leaf
    return tree


@pytest.fixture
def drawn():
    """(model) -> its weights in our layouts, once every parameter is drawn anew."""
    torch = pytest.importorskip("torch")

    def draw(model, scale=0.2, keep=()):
        model.eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in keep:
                    continue
                noise = torch.randn(p.shape, generator=generator)
                norm = "norm" in name and name.endswith("weight")
                p.copy_(1 + 0.3 * noise if norm else scale * noise)
        return Weights(model)

    return draw


@pytest.fixture
def same_shapes():
    """(module, params, *inputs): that these are all the parameters of the module and no others."""

    def check(module, params, *inputs, **how):
        shapes = jax.eval_shape(lambda k: module.init(k, *inputs, **how), jax.random.key(0))
        want = jax.tree.map(lambda x: x.shape, shapes["params"])
        assert jax.tree.map(np.shape, params) == want

    return check


@pytest.fixture
def images():
    """(B, H, W, 3) float32 and the same for torch, (B, 3, H, W)."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    return x, torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))

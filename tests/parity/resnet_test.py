"""ResNet against transformers' ResNetModel, and a RepLKNet unit against torch's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, trees

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def layer(w, conv, norm, *, depth=False):
    """Our {conv, norm} of a convolution and a batch norm; with an axis for one block if `depth`."""
    kernel = w[f"{conv}.weight"].transpose(2, 3, 1, 0)
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    made = {
        "conv": {"kernel": kernel},
        "norm": {ours: w[f"{norm}.{theirs}"] for ours, theirs in names.items()},
    }
    return jax.tree.map(lambda x: x[None], made) if depth else made


def draw(model):
    """Anything but zeros and ones in every norm; kernels as they start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for x in (module.weight, module.bias, module.running_mean):
                    x.add_(0.3 * torch.randn(x.shape, generator=generator))
                module.running_var.add_(torch.rand(module.running_var.shape, generator=generator))
    return {name: x.detach().numpy().copy() for name, x in model.state_dict().items()}


def resnet_params(w, depths, kind):
    numbers = (1, 2, 3) if kind == "bottleneck" else (1, 2)
    stem = "embedder.embedder"
    params = {"patch_embed": layer(w, f"{stem}.convolution", f"{stem}.normalization")}
    for i, depth in enumerate(depths):
        stage = params[f"stages_{i}"] = {}
        for j in range(depth):
            at = f"encoder.stages.{i}.layers.{j}"
            block = stage[f"blocks_{j}"] = {}
            for n in numbers:
                part = f"{at}.layer.{n - 1}"
                made = layer(w, f"{part}.convolution", f"{part}.normalization")
                block |= {f"conv{n}": made["conv"], f"norm{n}": made["norm"]}
            if f"{at}.shortcut.convolution.weight" in w:
                part = f"{at}.shortcut"
                made = layer(w, f"{part}.convolution", f"{part}.normalization")
                block["downsample"] = made
    return params


@pytest.mark.parametrize("kind", ["bottleneck", "basic"])
def test_resnet_by_both_statistics_and_what_it_remembers(images, same_shapes, kind):
    x, x_torch = images
    depths, expansion = (1, 2, 1), 4 if kind == "bottleneck" else 1
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8 * 2**i * expansion for i in range(3)],
        depths=list(depths),
        layer_type=kind,
    )
    model = transformers.ResNetModel(config)
    w = draw(model)
    params = resnet_params(w, depths, kind)
    module = encoders.create("resnet_nano", depths=depths, width=8, block=kind, stem="imagenet")
    same_shapes(module, params, x)

    def run(params, batch_stats):
        return module.apply({"params": params}, x, batch_stats=batch_stats).tokens

    for batch_stats in (False, True):
        with torch.no_grad():
            want = model.train(batch_stats)(x_torch).last_hidden_state
        want = want.permute(0, 2, 3, 1).numpy().reshape(3, 4, -1)
        got = jax.jit(run, static_argnums=1)(params, batch_stats)
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)
    # The pass in training mode has moved torch's buffers: ours move by the gradient.
    grad = jax.jit(jax.grad(lambda p: jnp.sin(run(p, True)).mean()))(params)
    state = {name: leaf.numpy() for name, leaf in model.state_dict().items()}
    after = dict(trees.named_leaves(resnet_params(state, depths, kind)))
    moved = dict(trees.named_leaves(jax.tree.map(lambda p, g: p - g, params, grad)))
    statistics = [path for path in after if path.endswith(("/mean", "/var"))]
    assert len(statistics) == 2 * sum("norm" in p and p.endswith("scale") for p in after)
    for path in statistics:
        np.testing.assert_allclose(moved[path], after[path], rtol=1e-4, atol=1e-5)


class TorchUnit(torch.nn.Module):
    """A unit of RepLKNet (Ding et al. 2022, https://arxiv.org/abs/2203.06717) in torch's layers."""

    def __init__(self, width, kernel, small):
        super().__init__()

        def conv(inner, outer, size, groups=1):
            made = torch.nn.Conv2d(inner, outer, size, padding=size // 2, groups=groups, bias=False)
            return torch.nn.Sequential(made, torch.nn.BatchNorm2d(outer))

        self.norm1, self.norm2 = torch.nn.BatchNorm2d(width), torch.nn.BatchNorm2d(width)
        self.pw1, self.pw2 = conv(width, width, 1), conv(width, width, 1)
        self.large = conv(width, width, kernel, width)
        self.small = conv(width, width, small, width)
        self.fc1, self.fc2 = conv(width, 4 * width, 1), conv(4 * width, width, 1)

    def forward(self, x):
        y = self.pw1(self.norm1(x)).relu()
        x = x + self.pw2((self.large(y) + self.small(y)).relu())
        return x + self.fc2(torch.nn.functional.gelu(self.fc1(self.norm2(x))))


@pytest.mark.parametrize("batch_stats", [False, True])
def test_replknet_unit(batch_stats):
    module = encoders.create(
        "replknet_nano", image=32, depths=(1,), kernels=(9,), channels=(8,), small_kernel=5
    )
    x = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    unit = TorchUnit(8, 9, 5)
    w = draw(unit)
    norm = lambda name: layer({**w, "_.weight": w["pw1.0.weight"]}, "_", name)["norm"]  # noqa: E731
    parts = {name: layer(w, f"{name}.0", f"{name}.1") for name in ("pw1", "pw2", "large", "small")}
    parts["large"]["small"] = parts.pop("small")
    parts["mlp"] = {name: layer(w, f"{name}.0", f"{name}.1") for name in ("fc1", "fc2")}
    parts |= {"norm1": norm("norm1"), "norm2": norm("norm2")}
    params = jax.jit(module.init)(jax.random.key(0), x)["params"]
    params["stages_0"]["blocks"] = jax.tree.map(lambda leaf: leaf[None], parts)
    # What the unit is given is read off a unit whose branches are zero.
    bare = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if path[-1].key in ("scale", "bias") else leaf, parts
    )
    given = trees.overlay(params, {"stages_0": {"blocks": jax.tree.map(lambda x: x[None], bare)}})

    @jax.jit
    def run(params):
        how = dict(layers=True, batch_stats=batch_stats)
        return module.apply({"params": params}, x, **how).layers[0].reshape(3, 8, 8, 8)

    inputs = np.asarray(run(given))
    with torch.no_grad():
        want = unit.train(batch_stats)(torch.from_numpy(inputs.transpose(0, 3, 1, 2)))
    want = want.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(run(params), want, rtol=1e-4, atol=1e-4)
    assert np.abs(want - inputs).max() > 0.5

"""transformers' models of random weights, saved by them and read by our tables."""

import jax
import numpy as np
import pytest

from benchmarks import torchvision_operators
from m3i_jax import trees
from m3i_jax.interop import importing
from m3i_jax.interop.rename import nested

TORCHVISION = torchvision_operators.declared()  # declared as long as it lives


class Weights:
    """What a model saved, in our names."""

    def __init__(self, folder):
        self.imported = importing.read(folder)

    def encoder(self, module, tower="image"):
        """Parameters of the module: all of them, and no others, from the file."""
        shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
        prefix = f"encoders/{tower}/"
        wanted = {prefix + path: x for path, x in trees.named_leaves(shapes)}
        found, notes = importing.fitted(self.imported, wanted, grid=module.grid)
        found = {path: x for path, x in found.items() if path.startswith(prefix)}
        account = importing.report(found, wanted, notes=notes, what=self.imported.path)
        importing.complete(account, self.imported.layout, what=self.imported.path)
        return nested({path.removeprefix(prefix): x for path, x in found.items()})

    def network(self, shapes, grid):
        """Parameters of a network with decoders, of the shapes given."""
        wanted = dict(trees.named_leaves(shapes))
        found, notes = importing.fitted(self.imported, wanted, grid=grid)
        account = importing.report(found, wanted, notes=notes, what=self.imported.path)
        importing.complete(account, self.imported.layout, what=self.imported.path)
        return nested(found)

    def decoder(self, name):
        """Parameters of a decoder, as they are in the file."""
        return nested(self.imported.params)["decoders"][name]


@pytest.fixture
def drawn(tmp_path):
    """(model) -> its weights in our layouts, once every parameter is drawn anew."""
    torch = pytest.importorskip("torch")

    def draw(model, scale=0.2, keep=()):
        model.eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in keep or not p.requires_grad:
                    continue
                noise = torch.randn(p.shape, generator=generator)
                norm = "norm" in name and name.endswith("weight")
                p.copy_(1 + 0.3 * noise if norm else scale * noise)
        model.save_pretrained(tmp_path)
        return Weights(tmp_path)

    return draw


@pytest.fixture
def images():
    """(B, H, W, 3) float32 and the same for torch, (B, 3, H, W)."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    return x, torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


@pytest.fixture
def same_shapes():
    """(module, params, *inputs): that these are all the parameters of the module and no others."""

    def check(module, params, *inputs, **how):
        shapes = jax.eval_shape(lambda k: module.init(k, *inputs, **how), jax.random.key(0))
        want = jax.tree.map(lambda x: x.shape, shapes["params"])
        assert jax.tree.map(np.shape, params) == want

    return check

"""DALL-E's dVAE: the encoder against FLAVA's image codebook, the decoder against torch's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, encoders, geometry
from m3i_jax.interop import dalle
from m3i_jax.interop.rename import nested, sort, to_ours
from m3i_jax.types import Features

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def drawn(shapes):
    """A state dict with kernels so large that the four of a branch undo its gain of 1/64."""
    rng = np.random.default_rng(0)

    def draw(shape):
        deviation = 4 * np.prod(shape[1:]) ** -0.5 if len(shape) == 4 else 0.3
        return rng.normal(0, deviation, shape).astype(np.float32)

    return {name: draw(tuple(shape)) for name, shape in shapes.items()}


def ours(state, layout, module):
    """All of a state dict as parameters of a module."""
    places = sort(state, layout)
    assert not places.unknown and not places.dropped
    kind, name = module.split("/")
    return nested(to_ours(state, places))[kind][name]


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_encoder_is_flavas_codebook(same_shapes):
    config = transformers.FlavaImageCodebookConfig(hidden_size=16, vocab_size=64)
    model = transformers.FlavaImageCodebook(config).eval()
    state = drawn({name: x.shape for name, x in model.state_dict().items()})
    model.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})
    params = ours(state, dalle.HUGGING_FACE, "encoders/image")
    photos = np.random.default_rng(1).uniform(size=(3, 32, 48, 3)).astype(np.float32)
    module = encoders.create("dalle_encoder", width=16, vocabulary=64, image=(32, 48), reduce=1)
    images = (photos - MEAN) / STD
    same_shapes(module, params, images)
    with torch.no_grad():
        pixels = torch.from_numpy((0.8 * photos + 0.1).transpose(0, 3, 1, 2).copy())
        want = model(pixels).flatten(2).transpose(1, 2).numpy()
        codes = model.get_codebook_indices(pixels).flatten(1).numpy()
        for block in model.modules():  # the residual branches are seen in the result
            if hasattr(block, "post_gain"):
                block.post_gain = 0.0
        without = model(pixels).flatten(2).transpose(1, 2).numpy()
    assert np.abs(without - want).max() > 0.1 * np.abs(want).max()
    got = jax.jit(lambda p, x: module.apply({"params": p}, x).tokens)(params, images)
    close(got, want)
    np.testing.assert_array_equal(np.argmax(got, -1), codes)
    assert len(np.unique(codes)) > 8


def decoded(state, hot):
    """The official decoder's equations, of one-hot words (B, vocabulary, h, w)."""
    conv = torch.nn.functional.conv2d
    w = {name: torch.from_numpy(x) for name, x in state.items()}

    def at(name, x):
        kernel = w[f"blocks.{name}.w"]
        return conv(x, kernel, w[f"blocks.{name}.b"], padding=kernel.shape[-1] // 2)

    x = at("input", hot)
    for group in range(1, 5):
        for block in (f"group_{group}.block_1", f"group_{group}.block_2"):
            y = x
            for k in range(1, 5):
                y = at(f"{block}.res_path.conv_{k}", y.relu())
            widens = f"blocks.{block}.id_path.w" in w
            x = (at(f"{block}.id_path", x) if widens else x) + y / 64
        x = torch.nn.functional.interpolate(x, scale_factor=2) if group < 4 else x
    return ((at("output.conv", x.relu())[:, :3].sigmoid() - 0.1) / 0.8).clamp(0, 1)


def official(vocabulary, embed, width):
    """Keys and shapes of the official decoder."""
    shapes = {"input": (embed, vocabulary, 1), "output.conv": (6, width, 1)}
    into = embed
    for group, out in enumerate((8 * width, 4 * width, 2 * width, width), 1):
        name = f"group_{group}.block_"
        shapes[f"{name}1.id_path"] = (out, into, 1)
        for block in (1, 2):
            wide = (into if block == 1 else out, *3 * (out // 4,), out)
            for k, size in enumerate((1, 3, 3, 3), 1):
                shapes[f"{name}{block}.res_path.conv_{k}"] = (wide[k], wide[k - 1], size)
        into = out
    found = {f"blocks.{name}.w": (*s, s[-1]) for name, s in shapes.items()}
    return found | {f"blocks.{name}.b": s[:1] for name, s in shapes.items()}


def test_decoder_is_the_official_formulation(same_shapes):
    grid, rng = (3, 4), np.random.default_rng(1)
    state = drawn(official(24, 8, 16))
    # Pixels between 0 and 1, where the sigmoid and the unmapping have a say.
    state["blocks.output.conv.w"] *= 0.001
    choice = rng.integers(0, 24, (2, 12)).astype(np.int32)
    hot = torch.nn.functional.one_hot(torch.from_numpy(choice.astype(np.int64)), 24)
    hot = hot.float().reshape(2, *grid, 24).permute(0, 3, 1, 2)
    want = decoded(state, hot).permute(0, 2, 3, 1).numpy()
    assert ((want > 0) & (want < 1)).mean() > 0.3 and want.std() > 0.05
    params = ours(state, dalle.DECODER, "decoders/pixels")
    block = {"name": "dalle_decoder", "vocabulary": 24, "embed": 8, "width": 16}
    module, x = decoders.create(block), Features(target_index=jnp.asarray(choice))
    same_shapes(module, params, x, grid=grid)
    got = jax.jit(lambda p, x: module.apply({"params": p}, x, grid=grid))(params, x)
    assert got.shape == (2, 12, 192)
    close(geometry.unpatchify(got, 8, grid), want)

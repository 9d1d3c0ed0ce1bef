"""The published dVAE's two files, whole pickled modules: from the converter into a run of CIM.

The files themselves are not here. These are of small modules with the same names, in packages that
are gone when the files are read.
"""

import functools
import pathlib
import sys
import types
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import cli, geometry
from m3i_jax.training import frozen
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.types import Features
from tests import programs

torch = pytest.importorskip("torch")

ROOT = pathlib.Path(__file__).parents[2]
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
WORDS, WIDTH, EMBED, SIDE = 24, 16, 8, 32
GRID = (SIDE // 8, SIDE // 8)
Sequential = torch.nn.Sequential


class Conv2d(torch.nn.Module):
    """A convolution whose parameters are `w` and `b`, drawn so large that branches are seen."""

    __module__ = "dall_e.utils"

    def __init__(self, into, out, size):
        super().__init__()
        self.size, self.device = size, torch.device("cpu")
        self.w = torch.nn.Parameter(4 * torch.randn(out, into, size, size) / size / into**0.5)
        self.b = torch.nn.Parameter(0.3 * torch.randn(out))

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.w, self.b, padding=self.size // 2)


class Block(torch.nn.Module):
    """id(x) + res(x)/64 (docs/methods.md#visual-tokens)."""

    def __init__(self, into, out, sizes):
        super().__init__()
        widths, path = (into, *3 * (out // 4,), out), OrderedDict()
        for k, size in enumerate(sizes, 1):
            path[f"relu_{k}"] = torch.nn.ReLU()
            path[f"conv_{k}"] = Conv2d(widths[k - 1], widths[k], size)
        self.id_path = torch.nn.Identity() if into == out else Conv2d(into, out, 1)
        self.res_path = Sequential(path)

    def forward(self, x):
        return self.id_path(x) + self.res_path(x) / 64


class Half(torch.nn.Module):
    """Four groups of two blocks between two convolutions."""

    def __init__(self, block, between, widths, sizes, first, last):
        super().__init__()
        groups, self.make = OrderedDict(input=first), functools.partial(Conv2d, size=1)
        for g, (into, out) in enumerate(zip(widths, widths[1:], strict=False), 1):
            group = OrderedDict(block_1=block(into, out, sizes), block_2=block(out, out, sizes))
            groups[f"group_{g}"] = Sequential(group | ({"pool": between()} if g < 4 else {}))
        groups["output"] = Sequential(OrderedDict(relu=torch.nn.ReLU(), conv=last))
        self.blocks = Sequential(groups)

    def forward(self, x):
        return self.blocks(x)


class EncoderBlock(Block):
    __module__ = "dall_e.encoder"


class Encoder(Half):
    __module__ = "dall_e.encoder"


class DecoderBlock(Block):
    __module__ = "dall_e.decoder"


class Decoder(Half):
    __module__ = "dall_e.decoder"


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Encoder and decoder, and the folder with encoder.pkl and decoder.pkl of them."""
    torch.manual_seed(0)
    encoder = Encoder(
        EncoderBlock,
        functools.partial(torch.nn.MaxPool2d, kernel_size=2),
        (WIDTH, *(WIDTH * 2**i for i in range(4))),
        (3, 3, 3, 1),
        Conv2d(3, WIDTH, 7),
        Conv2d(8 * WIDTH, WORDS, 1),
    )
    decoder = Decoder(
        DecoderBlock,
        functools.partial(torch.nn.Upsample, scale_factor=2, mode="nearest"),
        (EMBED, *(WIDTH * 2**i for i in (3, 2, 1, 0))),
        (1, 3, 3, 3),
        Conv2d(WORDS, EMBED, 1),
        Conv2d(WIDTH, 6, 1),
    )
    with torch.no_grad():  # what all images have in common would be the same word everywhere
        common = encoder(torch.rand(8, 3, SIDE, SIDE)).mean((0, 2, 3))
    encoder.blocks.output.conv.b.data -= common
    decoder.blocks.output.conv.w.data *= 0.001  # where sigmoid and unmapping have a say
    folder = tmp_path_factory.mktemp("dalle")
    with pytest.MonkeyPatch.context() as there:
        there.setitem(sys.modules, "dall_e", types.ModuleType("dall_e"))
        for made in (Conv2d, EncoderBlock, Encoder, DecoderBlock, Decoder):
            name = made.__module__
            package = sys.modules.get(name, types.ModuleType(name))
            setattr(package, made.__name__, made)
            there.setitem(sys.modules, name, package)
        torch.save(encoder, folder / "encoder.pkl")
        torch.save(decoder, folder / "decoder.pkl")
    assert not any(name.startswith("dall_e") for name in sys.modules)
    named = torch.serialization.get_unsafe_globals_in_checkpoint(folder / "encoder.pkl")
    assert {x for x in named if not x.startswith("torch.nn.modules.")} == {
        "dall_e.encoder.Encoder", "dall_e.encoder.EncoderBlock", "dall_e.utils.Conv2d",
        "functools.partial",
    }  # fmt: skip
    return encoder, decoder, folder


def convert(*flags):
    return programs.run("convert", "--torch", *flags)


@pytest.fixture(scope="module")
def run(halves):
    """A small run of the published config with the converted files, and its tokenizer's weights."""
    folder = halves[2]
    done = convert(
        f"--input={folder / 'encoder.pkl'}", f"--beside={folder / 'decoder.pkl'}",
        "--encoder=dalle_encoder", f"--output={folder / 'weights'}",
        f'--fields={{"width": {WIDTH}, "vocabulary": {WORDS}}}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "encoder.pkl: layout dalle_encoder\nmatched 74\nmissing 0\nextra 0" in done.stdout
    assert "decoder.pkl: layout dalle_decoder\nkept 76" in done.stdout
    config = cli.load(str(ROOT / "configs" / "imagenet/cim_vit_b16.py")).to_dict()
    config |= dict(image=SIDE, dtype="float32", batch=8, mesh=dict(data=1, fsdp=1))
    config["encoder"].update(patch=8, width=32, depth=2, heads=2)
    config["towers"]["generator"].update(patch=8, width=32, depth=3, heads=2)
    config["towers"]["tokenizer"].update(width=WIDTH, vocabulary=WORDS, reduce=1)
    config["decoders"]["painter"].update(width=WIDTH, vocabulary=WORDS, embed=EMBED)
    config["objective"]["vocabulary"] = WORDS
    config["weights"]["tokenizer"]["path"] = str(folder / "weights")
    run = assemble(Config.of(config), images=100, devices=jax.devices()[:1])
    frozen.check(run.config, run.method)
    # Nothing but the tokenizer has to be made: its weights come to lie beside shapes of the rest.
    return run, frozen.find(run)["frozen/tokenizer"]


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_the_runs_words_are_the_encoders(halves, run):
    rng = np.random.default_rng(1)  # cells of one colour, and a little noise
    photos = rng.choice([0.1, 0.9], (4, *GRID, 3)).repeat(8, axis=1).repeat(8, axis=2)
    photos = (photos + rng.uniform(-0.1, 0.1, photos.shape)).astype(np.float32)
    with torch.no_grad():
        pixels = torch.from_numpy((0.8 * photos + 0.1).transpose(0, 3, 1, 2).copy())
        want = halves[0](pixels).flatten(2).transpose(1, 2).numpy()
    encode = jax.jit(lambda p, x: run[0].network.encode(p, "tokenizer", x).tokens)
    got = np.asarray(encode(run[1], (photos - MEAN) / STD))
    assert got.shape == (4, GRID[0] * GRID[1], WORDS)
    close(got, want)
    np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))
    assert len(np.unique(want.argmax(-1))) > 8


def test_the_runs_pictures_are_the_decoders(halves, run):
    choice = np.random.default_rng(2).integers(0, WORDS, (2, GRID[0] * GRID[1]))
    hot = torch.nn.functional.one_hot(torch.from_numpy(choice), WORDS).float()
    with torch.no_grad():
        made = halves[1](hot.reshape(2, *GRID, WORDS).permute(0, 3, 1, 2))[:, :3]
        want = ((made.sigmoid() - 0.1) / 0.8).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert ((want > 0) & (want < 1)).mean() > 0.3 and want.std() > 0.05
    decode = jax.jit(lambda p, x: run[0].network.decode(p, "painter", x, grid=GRID))
    got = decode(run[1], Features(target_index=jnp.asarray(choice, jnp.int32)))
    close(geometry.unpatchify(got, 8, GRID), want)


def test_the_halves_are_not_to_be_exchanged(halves, tmp_path):
    files = {name: halves[2] / f"{name}.pkl" for name in ("encoder", "decoder")}
    done = convert(
        f"--input={files['decoder']}", f"--beside={files['encoder']}",
        "--encoder=dalle_encoder", f"--output={tmp_path / 'x'}",
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "encoder.pkl' is to give decoders alone, but has encoders/image" in done.stderr
    assert not (tmp_path / "x").exists()

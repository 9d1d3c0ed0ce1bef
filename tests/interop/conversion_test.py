"""From a file of others to one of ours: the encoder fits, the rest is kept, everything is said."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax.build import ConfigError
from m3i_jax.interop import conversion, files, importing, layouts
from m3i_jax.interop.rename import to_theirs

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=2, heads=2, positions="learned")


@pytest.fixture
def file(drawn, tmp_path):
    """An encoder in timm's names, with a head, and its parameters."""
    _, params = drawn(positions="learned")
    state, _ = to_theirs(params, layouts.lookup("timm"))
    save_file(state | {"head.weight": np.ones((3, 16), np.float32)}, tmp_path / files.WEIGHTS)
    return tmp_path, params


def converted(path, block, to="m3i_jax", **how):
    imported = conversion.read(path, layout="auto")
    params, report = conversion.encoder(imported, block, **how)
    layout = conversion.save(path / "out", imported, params, block, to=to)
    return importing.read(path / "out"), report, layout


def test_ours_are_the_same_numbers(file, same):
    path, params = file
    found, report, layout = converted(path, BLOCK)
    same(found.params, params)
    assert layout == found.layout.name == "m3i_jax"
    assert len(report.matched) == len(params)
    guess, rest = report.notes
    assert "says heads=2, activation='gelu', eps=1e-06, normalization='imagenet': a guess" in guess
    assert rest == "left out, of no use here: head.weight"


def test_for_other_images(file):
    found, report, _ = converted(file[0], BLOCK | dict(image=24))
    assert found.params["encoders/image/pos_embed"].shape == (1, 37, 16)
    assert report.notes[0] == "encoders/image: pos_embed resized from 1x17x16 to 1x37x16"


def test_to_another_layout(file, same):
    found, _, layout = converted(file[0], BLOCK, to="huggingface")
    assert layout == found.layout.name == "huggingface"


def test_another_encoder_is_refused(file):
    with pytest.raises(ConfigError, match="it lacks encoders/image/mask_token"):
        converted(file[0], BLOCK | dict(hide="mask"))
    converted(file[0], BLOCK | dict(hide="mask"), ignore="mask_token")
    with pytest.raises(ConfigError, match=r"cls_token is \[1, 1, 16\], wanted \[1, 1, 32\]"):
        converted(file[0], BLOCK | dict(width=32))


def test_decoders_and_targets_are_kept_in_our_names(drawn, tmp_path, same):
    _, params = drawn(positions="learned")
    more = {"decoders/image/head/bias": np.ones(3, np.float32),
            "ema/encoders/image/cls_token": np.ones((1, 1, 16), np.float32)}  # fmt: skip
    save_file(params | more, tmp_path / files.WEIGHTS)
    found, _, _ = converted(tmp_path, BLOCK)
    same(found.params, params | more)


def imported(name, **leaves):
    """A file with these parameters, `__` for the slashes of their paths."""
    params = {path.replace("__", "/"): np.full(2, x, np.float32) for path, x in leaves.items()}
    return importing.Imported(f"'{name}'", layouts.OWN, params, ())


def test_decoders_of_a_second_file_are_kept_beside_the_encoder(drawn, tmp_path, same):
    _, params = drawn(positions="learned")
    save_file(params, tmp_path / files.WEIGHTS)
    first = conversion.read(tmp_path)
    both = conversion.merged(first, imported("b", decoders__pixels__w=1, decoders__more__w=2))
    assert first.params.keys() == params.keys() and both.layout is first.layout
    converted, _ = conversion.encoder(both, BLOCK)
    conversion.save(tmp_path / "out", both, converted, BLOCK)
    found = importing.read(tmp_path / "out").params
    more = {"decoders/pixels/w": np.full(2, 1, np.float32), "decoders/more/w": np.full(2, 2.0)}
    same(found, params | {path: x.astype(np.float32) for path, x in more.items()})


def test_a_second_file_that_does_not_go_with_the_first_is_refused():
    first = imported("a", encoders__image__w=1, decoders__pixels__w=2)
    for leaves, sentence in (
        ({}, "'b' is to give decoders alone, but has none"),
        (dict(decoders__x__w=1, encoders__image__w=2), "decoders alone, but has encoders/image "),
        (dict(decoders__x__w=1, ema__decoders__x__w=2), "but has ema/decoders/x "),
        (dict(decoders__pixels__b=1), "'a' and 'b' both have decoders/pixels"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            conversion.merged(first, imported("b", **leaves))


def test_what_we_wrote_says_which_encoder_it_is(file):
    with pytest.raises(ConfigError, match="--encoder is needed"):
        conversion.block(conversion.read(file[0]), "", {})
    converted(file[0], BLOCK, to="timm")
    found = conversion.read(file[0] / "out")
    assert conversion.block(found, "", {}) == BLOCK
    assert conversion.block(found, "", {"image": 24}) == BLOCK | {"image": 24}


def test_a_name_of_timms_says_no_width_and_the_weights_do(drawn, tmp_path):
    """The names of its tiny, small, large and huge ViTs are of our vit_b16 with other sizes."""
    _, params = drawn(positions="learned")
    state, _ = to_theirs(params, layouts.lookup("timm"))
    save_file(state, tmp_path / files.WEIGHTS)
    (tmp_path / files.CONFIG).write_text('{"architecture": "vit_small_patch4_16"}')
    imported = conversion.read(tmp_path)
    block = conversion.block(imported, "", {"image": 16})
    sizes = dict(width=16, depth=2, patch=4, mlp_ratio=4.0, heads=6)
    assert {field: block[field] for field in sizes} == sizes
    named = conversion.block(imported, "vit_l16", {})
    assert "width" not in named, "what the user names has sizes of its own"

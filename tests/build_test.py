"""A block of a config is a function call, or a sentence that says why not."""

from typing import Annotated

import pytest

from m3i_jax import build
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Range


def paint(*, width: int, rate: float = 0.1, name_of: str = "x", sizes: tuple = (), on: bool = True):
    return width, rate, name_of, sizes, on


MODULE = {"paint": paint}


def attempt(**block):
    return build.build(MODULE, {"name": "paint", **block}, what="config.brush")


def test_a_good_block_is_called():
    assert attempt(width=3, rate=1, sizes=[1, 2]) == (3, 1, "x", [1, 2], True)


@pytest.mark.parametrize(
    "block, message",
    [
        (dict(widht=3), "config.brush has no key 'widht'; did you mean 'width'?"),
        (dict(), "config.brush lacks 'width'"),
        (dict(width=3.5), "config.brush.width is 3.5, expected a whole number"),
        (dict(width=True), "config.brush.width is True, expected a whole number"),
        (dict(width=1, rate="fast"), "config.brush.rate is 'fast' (text), expected a number"),
        (dict(width=1, rate=float("nan")), "config.brush.rate is nan"),
        (dict(width=1, rate=float("inf")), "config.brush.rate is inf"),
        (dict(width=1, on=1), "config.brush.on is 1, expected True or False"),
        (dict(width=1, sizes=3), "config.brush.sizes is 3, expected a list"),
    ],
)
def test_a_bad_block_is_answered_with_a_sentence(block, message):
    with pytest.raises(ConfigError) as error:
        attempt(**block)
    assert message in str(error.value)


def test_a_check_refuses_what_a_call_would_and_calls_nothing():
    def never(*, width: int, rate: float = 0.1):
        raise AssertionError

    build.check(never, dict(width=3), what="config.brush")
    build.check(never, dict(rate=0.5), what="config.brush", given=("width",))
    for kwargs, given in ((dict(width=1.5), ()), (dict(), ()), (dict(width=3), ("width",))):
        with pytest.raises(ConfigError):
            build.check(never, kwargs, what="config.brush", given=given)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown config.brush 'pain'; did you mean 'paint'?"):
        build.build(MODULE, {"name": "pain"}, what="config.brush")
    with pytest.raises(ConfigError, match="there are: paint"):
        build.build(MODULE, {"name": "zzz"}, what="config.brush")
    with pytest.raises(ConfigError, match="lacks 'name'"):
        build.build(MODULE, {}, what="config.brush")


def test_what_the_program_gives_the_config_may_not():
    with pytest.raises(ConfigError, match="has no key 'width'"):
        build.build(MODULE, {"name": "paint", "width": 1}, what="config.brush", width=2)


def test_a_module_offers_the_functions_it_defines():
    assert "call" in build.offered(build) and "ConfigError" in build.offered(build)
    assert "Any" not in build.offered(build) and "_check" not in build.offered(build)


def ranged(
    *,
    share: Annotated[float, Range(0, 1, above=True, why="a share of the patches")] = 0.5,
    count: Annotated[int, Range(1)] | None = None,
):
    return share, count


def test_a_number_outside_its_range_is_refused_with_the_reason():
    assert build.call(ranged, {"share": 1, "count": None}, what="block") == (1, None)
    said = r"block.share is 0, expected more than 0 and at most 1: a share of the patches"
    with pytest.raises(build.ConfigError, match=said):
        build.call(ranged, {"share": 0}, what="block")
    with pytest.raises(build.ConfigError, match=r"block.count is 0, expected 1 or more"):
        build.call(ranged, {"count": 0}, what="block")
    with pytest.raises(build.ConfigError, match=r"expected a whole number or None"):
        build.call(ranged, {"count": 1.5}, what="block")


def test_a_key_of_another_block_is_known_once_the_config_is():
    brush = lambda: build.check(paint, {"width": 3, "patch_size": 4}, what="config.brush")  # noqa: E731
    with pytest.raises(ConfigError, match="config.brush has no key 'patch_size'; there are: "):
        brush()
    for encoder, said in (("vit_b16", "did you mean config.encoder.patch?"), ("resnet50", "there")):
        with pytest.raises(ConfigError, match=f"no key 'patch_size'; {said}"):
            with build.knowing({"encoder": {"name": encoder}}):
                brush()


def test_what_a_part_says_of_itself_is_said_of_its_block():
    with pytest.raises(ConfigError, match="^config.encoder: the width is odd$"):
        with build.said_of("config.encoder"):
            raise ConfigError("the width is odd")
    with pytest.raises(ConfigError, match="^the width is odd$"):
        with build.said_of("decoder"):
            raise ConfigError("the width is odd")


def test_long_names_and_keys_are_cut():
    for block in ({"name": "x" * 10_000}, {"name": "paint", "x" * 10_000: 1}):
        with pytest.raises(ConfigError) as error:
            build.build(MODULE, block, what="config.brush")
        assert len(str(error.value)) < 300

"""Which options of a ViT go together: each refusal, and what is close to it and allowed."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.encoders import vit_options
from m3i_jax.encoders.vit import ViT

SIZES = dict(image=16, patch=4, width=16, depth=4, heads=2)
MAP = dict(class_token=False, window=3)


@pytest.mark.parametrize(
    "fields, words",
    [
        (dict(image=18), "image 18x18 is not divisible by patch 4"),
        (dict(width=18), "width 18 is not divisible by 4"),
        (dict(positions="rope", heads=8), "heads are 2 wide"),
        (dict(positions="rope", rope="capi", registers=3), "as many along each of 4 sides"),
        (dict(registers=1, relative_bias="layer"), "registers have no place"),
        (dict(heads=3), "not divisible by 3 heads"),
        (dict(global_blocks=(2,)), "attend to the whole map where window is 0"),
        (MAP | dict(global_blocks=(2, 5)), r"global_blocks is \[2, 5\], expected .* 1 to 4"),
        (MAP | dict(global_blocks=(3, 2)), "in rising order"),
        (MAP | dict(class_token=True), "window 3 is of a map, on which a class token"),
        (MAP | dict(registers=2), "registers 0, not False and 2"),
        (dict(relative_bias="decomposed"), "relative_bias 'decomposed' is of a map"),
        (MAP | dict(relative_bias="shared"), "'none' or 'decomposed', not 'shared'"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_named(fields, words):
    with pytest.raises(ConfigError, match=words):
        vit_options.check(ViT(**SIZES | fields))


@pytest.mark.parametrize(
    "fields",
    [MAP, MAP | dict(relative_bias="decomposed", global_blocks=(4,)), MAP | dict(window=7)],
    ids=str,
)
def test_what_does(fields):
    vit_options.check(ViT(**SIZES | fields))

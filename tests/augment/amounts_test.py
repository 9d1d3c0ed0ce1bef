"""Amounts of RandAugment as timm has them."""

from m3i_jax.augment.amounts import AMOUNTS


def test_the_table_is_the_published_list():
    """timm's 15 operations, their amounts at magnitudes 0 and 10, and which have a sign."""
    table = {name: (o.at(0), o.at(10), o.signed) for name, o in AMOUNTS.items()}
    signed = {
        "rotate": 30,
        **dict.fromkeys(("color", "contrast", "brightness", "sharpness"), 0.9),
        **dict.fromkeys(("shear_x", "shear_y"), 0.3),
        **dict.fromkeys(("translate_x", "translate_y"), 0.45),
    }
    unsigned = {"posterize": (4, 0), "solarize": (256, 0), "solarize_add": (0, 110)}
    still = ("auto_contrast", "equalize", "invert")
    assert table == {
        **{name: (0, high, True) for name, high in signed.items()},
        **{name: (*ends, False) for name, ends in unsigned.items()},
        **dict.fromkeys(still, (0, 0, False)),
    }
    assert len(table) == 15 and AMOUNTS["rotate"].at(9) == 27

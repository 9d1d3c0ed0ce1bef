"""Towers: what is seen of encoders from outside."""

from m3i_jax.networks import Tower, towers
from tests.networks.small_networks import NANO, built


def test_towers_say_what_they_are():
    network = built()
    assert network.towers == {
        "image": Tower(16, (4, 4), 4, "image", "drop", 4, (1,), (4,)),
        "category": Tower(8, None, None, "table"),
        "text": Tower(8, None, None, "text", depths=(1,)),
    }
    assert network.decoders == ("image", "category", "text")
    assert built(dict(NANO) | {"image": 32}).towers["image"].grid == (8, 8)
    assert built({k: v for k, v in NANO.items() if k != "image"}).towers["image"].grid == (8, 8)


def test_a_block_has_a_place_in_a_config():
    assert towers.place("image") == "config.encoder"
    assert towers.place("text") == "config.towers.text"

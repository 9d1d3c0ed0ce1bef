"""Every rule of an automatic config, as a table of facts and what they come to."""

import math

import pytest

from m3i_jax.training.automatic import rules
from m3i_jax.training.automatic.facts import Images, Machine

CPU, GPU = Machine(2), Machine(16, 1, accelerated=True)
FEW, MANY = Images(250, 200), Images(1_300_000, 400)


@pytest.mark.parametrize(
    "choice, value",
    [
        (rules.side(FEW, CPU), 32),
        (rules.side(FEW, GPU), 192),
        (rules.side(MANY, GPU), 224),
        (rules.side(Images(9, 28), GPU), 32),
        (rules.encoder(FEW, CPU), "vit_nano"),
        (rules.encoder(FEW, GPU), "vit_ti16"),
        (rules.encoder(MANY, GPU), "vit_s16"),
        (rules.patch("vit_nano", image=32, own=4), 8),
        (rules.patch("vit_s16", image=32, own=16), 8),
        (rules.patch("vit_s16", image=224, own=16), 16),
        (rules.batch(200, CPU), 64),
        (rules.batch(10_000, CPU), 128),
        (rules.batch(3, CPU), 2),
        (rules.batch(10**6, Machine(2, 8, accelerated=True)), 2048),
        (rules.batch(100, Machine(2, 3)), 48),
        (rules.rate({"name": "adamw"}, of=64, batch=256), 2.0),
        (rules.rate({"name": "lars"}, of=64, batch=256), 4.0),
        (rules.smallest_crop(0.08, MANY), 0.08),
        (rules.smallest_crop(0.08, FEW), 0.2),
        (rules.smallest_crop(0.08, Images(60_000, 28)), 0.33),
        (rules.smallest_crop(0.67, FEW), 0.67),
        (rules.held_out(FEW), 0.2),
        (rules.held_out(Images(10_000, 32)), 0.05),
        (rules.held_out(Images(10_000, 32, test=True)), 0.0),
        (rules.queue(4096, 200), 64),
        (rules.queue(4096, 10**6), 4096),
        (rules.duration("10 minutes"), "10 minutes"),
    ],
)
def test_facts_come_to_a_value_with_a_reason(choice, value):
    assert (
        choice.value == pytest.approx(value) if isinstance(value, float) else choice.value == value
    )
    assert len(choice.why) > 5 or choice.why == "as asked"


def test_a_batch_has_no_image_twice_and_is_shared_by_all_devices():
    for images in range(2, 3000, 37):
        for devices in (1, 2, 3, 8):
            chosen = rules.batch(images, Machine(2, devices)).value
            assert chosen % devices == 0 and (chosen <= images or chosen == devices)
            assert math.log2(chosen // devices).is_integer()

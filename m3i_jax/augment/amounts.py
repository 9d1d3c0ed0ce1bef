"""What a magnitude means to each operation of RandAugment, on the host and on the device.

timm's `rand-m9-mstd0.5-inc1` and its relatives: docs/methods.md#fine-tuning.
"""

from typing import Annotated, NamedTuple

from m3i_jax.ranges import Range

LARGEST = 10.0  # magnitude
GROUND = (124, 116, 104)  # ImageNet's mean colour, where a moved image uncovers the ground
HALF = 128  # of 256 levels: solarize_add lights up what is darker
Magnitude = Annotated[float, Range(0, LARGEST)]
Draws = Annotated[int, Range(1, 100)]


class Amount(NamedTuple):
    """Amounts at magnitudes 0 and 10, linear in between; signed: as likely the negative one."""

    weakest: float = 0.0
    strongest: float = 0.0
    signed: bool = False

    def at(self, magnitude: float) -> float:
        """The amount at a magnitude, without a sign."""
        return self.weakest + (self.strongest - self.weakest) * magnitude / LARGEST


AMOUNTS = {
    "auto_contrast": Amount(),
    "equalize": Amount(),
    "invert": Amount(),
    "rotate": Amount(0.0, 30.0, signed=True),  # degrees, counterclockwise
    "posterize": Amount(4.0, 0.0),  # bits that are kept, rounded up
    "solarize": Amount(256.0, 0.0),  # the level from which on there is its inverse
    "solarize_add": Amount(0.0, 110.0),  # levels
    "color": Amount(0.0, 0.9, signed=True),  # (1 + amount) image − amount · grey image
    "contrast": Amount(0.0, 0.9, signed=True),  # … its mean grey
    "brightness": Amount(0.0, 0.9, signed=True),  # … black
    "sharpness": Amount(0.0, 0.9, signed=True),  # … the smooth image
    "shear_x": Amount(0.0, 0.3, signed=True),  # pixels a pixel
    "shear_y": Amount(0.0, 0.3, signed=True),
    "translate_x": Amount(0.0, 0.45, signed=True),  # of the side
    "translate_y": Amount(0.0, 0.45, signed=True),
}

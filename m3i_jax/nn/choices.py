"""What the texts among the fields of encoders and decoders may be."""

from typing import Annotated

from m3i_jax.nn import dcn
from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.nn.attend import CORES
from m3i_jax.nn.blocks import DTYPES, REMAT, SCHEDULES
from m3i_jax.nn.initial import INITS
from m3i_jax.nn.norms import NORMS
from m3i_jax.texts import OneOf

Dtype = Annotated[str, OneOf(*DTYPES)]
Remat = Annotated[str, OneOf(*REMAT)]
Core = Annotated[str, OneOf(*CORES)]  # of attention
DropPathSchedule = Annotated[str, OneOf(*SCHEDULES)]
Activation = Annotated[str, OneOf(*ACTIVATIONS)]
WeightInit = Annotated[str, OneOf(*INITS)]
QkvBias = bool | Annotated[str, OneOf("qv")]
HideOrNot = Annotated[str, OneOf("mask", "")]  # of encoders that cannot drop cells
Norm = Annotated[str, OneOf(*NORMS)]
NormOrNone = Annotated[str, OneOf(*NORMS, "none")]
NormPlace = Annotated[str, OneOf(*dcn.NORMS)]

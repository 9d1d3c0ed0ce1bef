"""The config of a training run: plain data with a schema, checked before anything compiles."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from m3i_jax import build, renamed
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Pixels, Range, Rate, Seed, shown
from m3i_jax.texts import NAME, NAMES, OneOf
from m3i_jax.training.lengths import Length

LARGEST = 10**100
DTYPES = ("float32", "bfloat16")
LONGEST, DEEPEST = 4096, 16  # letters of a text or items of a list, and blocks in blocks
Batch = Annotated[int, Range(1, 2**20)]


@dataclass(frozen=True)
class Config:
    """What a run is. Every block is the keywords of one function, see `training.schema`.

    seed: of parameters, data order and every random choice.
    image: side of the views in pixels.  dtype: of matrix products, "float32" or "bfloat16".
    batch: images per step over all devices.  accumulate: micro-batches that a step is cut into.
    duration, warmup: lengths such as "1600 epochs", "5000 steps", "5 percent", "2e6 samples".
    epoch_size: images per epoch; 0 takes the length of the data set.
    data: where images come from, such as {name: "image_folder", root: …}.
    crops: how the views of an image are cut.  captions: how texts become tokens.
    augment: colours of the views "a", "b" and "local", a block for each.
    encoder: the tower that sees images, and is trained.  towers: further ones: text, category, …
    decoders: what predicts from the encoder's code, a block for each name that the method uses.
    objective: the method, by its name in the table.
    target: what is predicted, where the method leaves it open.
    average: the moving average for evaluation, where the method has none of its own.
    weights: where the weights of frozen towers come from, a block for each tower.
    init_from: what the first state starts from, if not from the seed.
    weighting: how groups of terms are weighed.  optimizer: how the parameters move.
    spikes: which steps are left out for the size of their loss or gradient.
    mesh: over how many devices batch and parameters are split.
    threads: how many read data; 0 = one for each core that this process may use.
    unreadable: share of the data set that may be broken before the run stops.
    log: what is written down of a run, and how often.  checkpoint: when its state is saved.
    monitor: evaluation beside the training.
    validation: accuracy on all of the test split, which checkpoint is best, when to end early.
    """

    batch: Batch
    duration: Length
    data: dict
    encoder: dict
    objective: dict
    optimizer: dict
    seed: Seed = 0
    image: Pixels = 224
    dtype: Annotated[str, OneOf(*DTYPES)] = "float32"
    accumulate: Batch = 1
    warmup: Length = "0 steps"
    epoch_size: Annotated[int, Range(0, 2**40)] = 0
    threads: Annotated[int, Range(0, 256)] = 0
    unreadable: Rate = 0.001
    crops: dict = field(default_factory=dict)
    captions: dict = field(default_factory=dict)
    augment: dict = field(default_factory=dict)
    towers: dict = field(default_factory=dict)
    decoders: dict = field(default_factory=dict)
    target: dict = field(default_factory=dict)
    average: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    init_from: dict = field(default_factory=dict)
    weighting: dict = field(default_factory=lambda: {"name": "constant"})
    spikes: dict = field(default_factory=dict)
    mesh: dict = field(default_factory=dict)
    log: dict = field(default_factory=dict)
    checkpoint: dict = field(default_factory=dict)
    monitor: dict = field(default_factory=dict)
    validation: dict = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> "Config":
        """Reads a ConfigDict or a plain dict; refuses unknown keys, wrong types, NaN."""
        if hasattr(data, "to_dict"):
            data = data.to_dict()
        plain = renamed.config(_plain(data, "config"))
        with build.knowing(plain):
            config = build.call(cls, plain, what="config")
        config.check()
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data; `Config.of` reads it back."""
        return asdict(self)

    def check(self) -> None:
        """Refuses what does not fit together."""
        for name in ("towers", "decoders", "augment", "weights"):
            for key, block in getattr(self, name).items():
                if not NAME.fullmatch(key):
                    raise ConfigError(f"config.{name} has the name {shown(key)}, expected {NAMES}")
                if not isinstance(block, dict):
                    raise ConfigError(
                        f"config.{name}.{key} is {shown(block)}, expected a block of keys"
                    )
        if self.batch % self.accumulate:
            raise ConfigError(
                f"config.batch = {self.batch} does not divide into "
                f"config.accumulate = {self.accumulate} equal micro-batches"
            )


def _plain(value: Any, what: str) -> Any:
    """Nested dicts, lists and scalars only, every number finite, nothing endless."""
    size = len(value) if isinstance(value, str | Mapping | list | tuple) else 0
    if size > LONGEST or what.count(".") + what.count("[") > DEEPEST:
        raise ConfigError(
            f"{what[:80]} is longer than {LONGEST} or deeper than {DEEPEST}, which no config is"
        )
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{what}.{str(k)[:80]}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{what}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{what} is {value}, which is not a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{what} is a whole number of more than 100 digits")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{what} is a {type(value).__name__}, expected plain data")

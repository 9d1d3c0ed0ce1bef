"""Which layer of its network each parameter belongs to, and the rate decay that follows from it.

Blocks are stacked along a leading depth axis: one number per layer of such a leaf. How blocks are
counted is the published rule of each encoder, by which of ours it is known: `NUMBERINGS`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.parallel.sharding import STACKED
from m3i_jax.types import Array

# Which layer of the network a parameter belongs to: "embed" is layer 0, "block" that of its block,
# "head" the last one, as is the table of categories, which is the matrix of the classifier
# (docs/methods.md#fine-tuning). Parameters that no pattern matches are an error: a forgotten name
# must not train at the head's full rate.
LAYERS: trees.Rules = (
    (r"^decoders/|^encoders/category/|(^|/)(head|fc_norm|pooler|projection)(/|$)", "head"),
    (r"(^|/)blocks/", "block"),
    (
        r"(^|/)((patch|token|type|pos)_embed|(cls|reg|mask)_token|embed|norm_pre)",
        "embed",
    ),
    (r"(^|/)(norm|relative_position[a-z_]*)(/|$)", "head"),
)

STAGE = re.compile(r"(?:^|/)stages?_?(\d+)/")
# Norms between the blocks of InternImage-H, which its rule does not know: full rate.
FREE = re.compile(r"/post_norms/")


class Layers(NamedTuple):
    """The layers of an encoder; what looks at its images is in layer 0.

    blocks: per stage, the layer of each block.  behind: per stage, of what follows its blocks.
    last: that of the head and of the last norm.
    """

    blocks: tuple[Array, ...]
    behind: tuple[int, ...]
    last: int


def by_block(depths: Sequence[int]) -> Layers:
    """Every block is a layer, merging that of the last block in front; the head is one more.

    BEiT (Bao et al. 2022, https://arxiv.org/abs/2106.08254) and SimMIM's Swin
    (https://arxiv.org/abs/2111.09886) as their code counts.
    """
    ends = np.cumsum(depths)
    blocks = tuple(end - d + 1 + np.arange(d) for end, d in zip(ends, depths, strict=True))
    return Layers(blocks, tuple(ends), ends[-1] + 1)


def by_pair(depths: Sequence[int]) -> Layers:
    """Two units of a stage are a layer: the 24 of RepLKNet-31 are 12, and the head is the 13th.

    Ding et al. 2022, https://arxiv.org/abs/2203.06717, optim_factory.py of their code. A unit is a
    block of the large kernel and the feed-forward one behind it.
    """
    ends = np.cumsum([-(-d // 2) for d in depths])
    first = [0, *ends[:-1]]
    blocks = tuple(start + 1 + np.arange(d) // 2 for start, d in zip(first, depths, strict=True))
    return Layers(blocks, tuple(ends), ends[-1] + 1)


def by_block_alone(depths: Sequence[int]) -> Layers:
    """Every block is a layer, and there are no others: the head's is that of the last block.

    What looks at the images is in the layer of the first block, a norm or down-sampling in that of
    the block behind it. InternImage (Wang et al. 2023, https://arxiv.org/abs/2211.05778):
    `lr_decay_keywards` of its code.
    """
    ends = np.cumsum(depths)
    last = ends[-1] - 1
    blocks = tuple(end - d + np.arange(d) for end, d in zip(ends, depths, strict=True))
    return Layers(blocks, tuple(min(end, last) for end in ends), last)


# What only this encoder's blocks have, and how it is counted; any other is counted by blocks.
NUMBERINGS: tuple[tuple[str, Callable[[Sequence[int]], Layers]], ...] = (
    (r"/blocks/dcn/", by_block_alone),
    (r"/blocks/large/", by_pair),
)


def layer_scales(
    params: Any, decay: float, *, layers: trees.Rules = LAYERS
) -> dict[str, float | Array]:
    """Path -> d^(last − id): layer-wise rate decay, one number per layer of a stacked leaf.

    Embeddings, positions, class and mask token have id 0; blocks are counted over all stages, by
    the rule of their encoder; the final norm, position biases shared by the blocks, and everything
    behind the encoder are in the last layer, hence factor 1; docs/methods.md#fine-tuning.

    Raises:
      ConfigError: a path that no pattern of `layers` matches.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"config.optimizer.layer_decay is {decay}, expected a number in (0, 1]")
    numbers, last = _block_numbers(params)
    scales = {}
    for path, _ in trees.named_leaves(params):
        if path in numbers:
            scales[path] = decay ** (last[_tower(path)] - numbers[path])
            continue
        try:
            kind = "head" if FREE.search(path) else trees.first_match(layers, path)
        except ValueError:
            raise ConfigError(
                f"layer decay does not know which layer '{path}' belongs to; "
                "name it in layer_decay.LAYERS"
            ) from None
        scales[path] = 1.0 if kind == "head" else float(decay ** last.get(_tower(path), 1))
    return scales


def _tower(path: str) -> str:
    """The encoder that a path is in: `encoders/image`; "" for a tree of one."""
    return "/".join(path.split("/")[:2]) if path.startswith("encoders/") else ""


def _block_numbers(params: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """Path -> layers of the blocks that the leaf is of; and the last layer of each encoder."""
    places, depths = _places(params)
    layers = {
        tower: _numbering(tower, places)([depths[tower][stage] for stage in sorted(depths[tower])])
        for tower in depths
    }
    place = {tower: sorted(stages) for tower, stages in depths.items()}
    numbers = {}
    for path, (tower, stage, inside) in places.items():
        at = place[tower].index(stage)
        of = layers[tower]
        numbers[path] = of.behind[at] if inside is None else of.blocks[at][inside]
    return numbers, {tower: of.last for tower, of in layers.items()}


def _numbering(tower: str, places: dict[str, Any]) -> Callable[[Sequence[int]], Layers]:
    """How the blocks of an encoder are counted, by what they have."""
    paths = [path for path in places if _tower(path) == tower]
    for pattern, rule in NUMBERINGS:
        if any(re.search(pattern, path) for path in paths):
            return rule
    return by_block


def _places(params: Any) -> tuple[dict[str, tuple], dict[str, dict[int, int]]]:
    """Path -> (encoder, stage, numbers of its blocks there or None); and blocks per stage."""
    places: dict[str, tuple] = {}
    depths: dict[str, dict[int, int]] = {}
    for path, leaf in trees.named_leaves(params):
        if path.startswith("decoders/") or FREE.search(path):
            continue
        match = STAGE.search(path)
        tower, stage = _tower(path), int(match.group(1)) if match else 0
        count, inside = 0, None
        if STACKED.search(path):
            count, inside = leaf.shape[0], np.arange(leaf.shape[0])
        elif unrolled := re.search(r"(?:^|/)blocks?[_/]?(\d+)/", path):
            inside = int(unrolled.group(1))
            count = inside + 1
        elif not match:
            continue
        stages = depths.setdefault(tower, {})
        stages[stage] = max(stages.get(stage, 0), count)
        places[path] = tower, stage, inside
    return places, depths

"""Which layer of its network each parameter belongs to, and the rate decay that follows from it.

Blocks are stacked along a leading depth axis: one number per layer of such a leaf.
"""

import re
from typing import Any

import numpy as np

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.parallel.sharding import STACKED
from m3i_jax.types import Array

# Which layer of the network a parameter belongs to: "embed" is layer 0, "block" the number of its
# block + 1, "head" behind the last block, as is the table of categories, which is the matrix of the
# classifier (docs/methods.md#fine-tuning). Parameters that no pattern matches are an error: a
# forgotten name must not train at the head's full rate.
LAYERS: trees.Rules = (
    (r"^decoders/|^encoders/category/|(^|/)(head|fc_norm|pooler|projection)(/|$)", "head"),
    (r"(^|/)blocks/", "block"),
    (
        r"(^|/)(patch_embed|token_embed|type_embed|pos_embed|cls_token|mask_token|embed|norm_pre)",
        "embed",
    ),
    (r"(^|/)(norm|relative_position[a-z_]*)(/|$)", "head"),
)

STAGE = re.compile(r"(?:^|/)stages?_?(\d+)/")


def layer_scales(
    params: Any, decay: float, *, layers: trees.Rules = LAYERS
) -> dict[str, float | Array]:
    """Path -> d^(L + 1 − id): layer-wise rate decay, one number per layer of a stacked leaf.

    L is the number of blocks, over all stages where there are several. Embeddings, positions,
    class and mask token have id 0; block b (from 0) has b + 1; the final norm, position biases
    shared by the blocks, and everything behind the encoder have L + 1, hence factor 1. What
    follows the blocks of a stage (patch merging) belongs to its last one. BEiT (Bao et al. 2022,
    https://arxiv.org/abs/2106.08254) as its code counts; docs/methods.md#fine-tuning.

    Raises:
      ConfigError: a path that no pattern of `layers` matches.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"config.optimizer.layer_decay is {decay}, expected a number in (0, 1]")
    numbers, counts = _block_numbers(params)
    scales = {}
    for path, _ in trees.named_leaves(params):
        count = counts.get(_tower(path), 0)
        if path in numbers:
            scales[path] = decay ** (count - numbers[path])
            continue
        try:
            kind = trees.first_match(layers, path)
        except ValueError:
            raise ConfigError(
                f"layer decay does not know which layer '{path}' belongs to; "
                "name it in layer_decay.LAYERS"
            ) from None
        scales[path] = 1.0 if kind == "head" else decay ** (count + 1)
    return scales


def _tower(path: str) -> str:
    """The encoder that a path is in: `encoders/image`; "" for a tree of one."""
    return "/".join(path.split("/")[:2]) if path.startswith("encoders/") else ""


def _block_numbers(params: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """Path -> numbers of the blocks that the leaf holds, from 0; and blocks per encoder."""
    depths: dict[tuple[str, int], int] = {}  # (encoder, stage) -> blocks
    found = {}
    for path, leaf in trees.named_leaves(params):
        if path.startswith("decoders/"):
            continue
        match = STAGE.search(path)
        stage = _tower(path), int(match.group(1)) if match else 0
        if STACKED.search(path):
            depths[stage] = leaf.shape[0]
            found[path] = stage, np.arange(leaf.shape[0])
        elif unrolled := re.search(r"(?:^|/)blocks?[_/]?(\d+)/", path):
            number = int(unrolled.group(1))
            depths[stage] = max(depths.get(stage, 0), number + 1)
            found[path] = stage, np.asarray(number)
        elif match:
            found[path] = stage, None
    before = {
        (tower, stage): sum(d for (t, s), d in depths.items() if t == tower and s < stage)
        for tower, stage in depths
    }
    counts: dict[str, int] = {}
    for (tower, _), depth in depths.items():
        counts[tower] = counts.get(tower, 0) + depth
    numbers = {
        path: before[stage] + (depths[stage] - 1 if inside is None else inside)
        for path, (stage, inside) in found.items()
    }
    return numbers, counts

"""Encoders with a part taken out: a head, a block, all behind a block, or blocks drawn at random.

A model in, a model out, with a digest of its own: every task and every measure takes it, and
`m3i export` writes it. Blocks count from 1 over all stages, heads from 1.

Xie et al. 2023, Revealing the Dark Secrets of Masked Image Modeling,
https://arxiv.org/abs/2205.13543.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from m3i_jax import networks
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models, removal
from m3i_jax.evaluation.models import Model

Params = dict[str, Any]
# Of a SwinV2, the fields that have one entry for each stage.
STAGED = ("depths", "heads", "window", "pretrained_window", "shift")


def without_head(model: Model, block: int, head: int) -> Model:
    """The model without one head of one block, both counted from 1, see `removal`."""
    module = models.module(model)
    counts = removal.heads(module)
    if not counts:
        raise ConfigError(f"{model.name}: a {type(module).__name__} has no heads to take out")
    _check("without_head", block, len(counts), "block")
    _check("without_head", head, counts[block - 1], f"head of block {block}")
    params = removal.head_removed(_image(model), module, block, head)
    return _with(model, params, f"without_head=({block},{head})")


def without_block(model: Model, block: int) -> Model:
    """The model without one block, counted from 1 over all stages, see `removal`."""
    module = models.module(model)
    _check("without_block", block, removal.blocks(module), "block")
    return _with(
        model, removal.block_removed(_image(model), module, block), f"without_block={block}"
    )


def truncated(
    model: Model, count: int, *, stage: int | None = None, final_norm: bool = False
) -> Model:
    """The first blocks of a ViT or a SwinV2, and nothing behind them: an encoder of its own.

    Xie et al. 2023 feed a head with the output of block b of a SwinV2's stage 3, and sweep b.

    Args:
      model: whose blocks these are.
      count: how many, over all stages; with `stage` the stages before it whole, and so many of it.
      stage: of a SwinV2, from 1.
      final_norm: whether a ViT keeps its last norm, which was learned behind its last block.
    """
    module = models.module(model)
    depths = _depths(model, module)
    said = f"blocks={count}" + (f",stage={stage}" if stage else "")
    if stage is not None:
        _check("stage", stage, len(depths), "stage")
        _check("blocks", count, depths[stage - 1], f"block of stage {stage}")
        count += sum(depths[: stage - 1])
    _check("blocks", count, sum(depths), "block")
    if final_norm and "norm" not in _image(model):
        raise ConfigError(f"{model.name} has no final norm to keep")
    if final_norm and len(depths) > 1:
        raise ConfigError("final_norm is of a ViT: that of a SwinV2 is as wide as its last stage")
    kept = [min(count - before, depth) for before, depth in _before(depths) if count > before]
    chosen = [range(1, depth + 1) for depth in kept]
    return _built(model, module, chosen, said + ",final_norm=True" * final_norm, final_norm)


def sampled(
    model: Model, numbers: Sequence[int], *, stage: int | None = None, final_norm: bool = False
) -> Model:
    """As `truncated`, with these blocks in place of the first ones: random weight sampling.

    It tells good weights from a good order of them. Whether windows shift is a property of the
    place of a block, not of its weights.

    Args:
      model: whose blocks these are.
      numbers: of the blocks from 1, in the order in which they are put; of the stage where one is
        said, none twice.
      stage, final_norm: see `truncated`; of a SwinV2 the stage must be said.
    """
    module, numbers = models.module(model), tuple(numbers)
    depths = _depths(model, module)
    if len(depths) > 1 and stage is None:
        raise ConfigError("blocks of one stage are sampled, as those of another have other widths: "
                          f"say stage=1 to {len(depths)}")  # fmt: skip
    stage = stage or 1
    _check("stage", stage, len(depths), "stage")
    for number in numbers:
        _check("sampled", number, depths[stage - 1], f"block of stage {stage}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigError(f"sampled is {numbers}, expected numbers of blocks, none of them twice")
    said = f"sampled=({','.join(map(str, numbers))})" + f",stage={stage}" * (len(depths) > 1)
    chosen = [*(range(1, depth + 1) for depth in depths[: stage - 1]), numbers]
    return _built(model, module, chosen, said + ",final_norm=True" * final_norm, final_norm)


def operated(model: Model, settings: Mapping[str, Any]) -> Model:
    """The model that settings of a command line make of it, see `SETTINGS`.

    Raises:
      ConfigError: none of `OPERATIONS`, or several; a number that there is not.
    """
    if not settings:
        return model
    rest = dict(settings)
    asked = [name for name in OPERATIONS if name in rest]
    if len(asked) != 1:
        raise ConfigError(
            f"--model has {' and '.join(settings)}, expected one of {', '.join(OPERATIONS)}"
        )
    operation, form = OPERATIONS[asked[0]]
    value = rest.pop(asked[0])
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    whole = all(isinstance(x, int) and not isinstance(x, bool) for x in values)
    if not whole or len(values) not in (form.count(",") + 1, form.count("...") * len(values)):
        raise ConfigError(f"--model: {asked[0]} is {value!r}, expected {form}")
    if rest and asked[0].startswith("without"):
        raise ConfigError(f"--model: {' and '.join(rest)} is not said beside {asked[0]}")
    return operation(model, *([values] if "..." in form else values), **rest)


# Behind the name of a model, and what is expected there.
OPERATIONS = {
    "blocks": (truncated, "COUNT"),
    "sampled": (sampled, "(BLOCK,BLOCK,...)"),
    "without_head": (without_head, "(BLOCK,HEAD)"),
    "without_block": (without_block, "BLOCK"),
}
# All that may stand behind the name of a model.
SETTINGS = (*OPERATIONS, "stage", "final_norm")


def _image(model: Model) -> Params:
    return model.params["encoders"]["image"]


def _check(what: str, number: int, most: int, of: str) -> None:
    if not 1 <= number <= most:
        raise ConfigError(f"{what}: there is no {of} of number {number}, expected 1 to {most}")


def _depths(model: Model, module: Any) -> tuple[int, ...]:
    """Blocks of the stages of an encoder that can be cut short."""
    kind = type(module).__name__
    if kind not in ("ViT", "SwinV2"):
        raise ConfigError(f"{model.name} is a {kind}; a ViT or a SwinV2 is cut behind a block")
    return (module.depth,) if kind == "ViT" else tuple(module.depths)


def _before(depths: Sequence[int]) -> list[tuple[int, int]]:
    """(blocks of earlier stages, blocks of this one) of each stage."""
    return [(sum(depths[:stage]), depth) for stage, depth in enumerate(depths)]


def _with(model: Model, params: Params, said: str) -> Model:
    """The same model with other parameters of its encoder."""
    towers = {**model.params["encoders"], "image": jax.tree.map(np.asarray, params)}
    params = {**model.params, "encoders": towers}
    return model._replace(name=_named(model, said), params=params)


def _named(model: Model, said: str) -> str:
    return f"{model.name}:{said}"


def _built(
    model: Model, module: Any, chosen: Sequence[Sequence[int]], said: str, final_norm: bool
) -> Model:
    """An encoder of these blocks, from 1, of each of its first stages; nothing else of a run."""
    params = {name: leaf for name, leaf in _image(model).items() if final_norm or name != "norm"}
    block: dict[str, Any] = {**model.block, "final_norm": final_norm}
    if type(module).__name__ == "ViT":
        params["blocks"] = _taken(params["blocks"], chosen[0])
        block["depth"] = len(chosen[0])
    else:
        params = {name: leaf for name, leaf in params.items() if not name.startswith("stages_")}
        for stage, numbers in enumerate(chosen):
            name = f"stages_{stage}"
            params[name] = {**_image(model)[name]}
            params[name]["blocks"] = _taken(params[name]["blocks"], numbers)
        params[name].pop("downsample", None)
        block |= {key: _staged(module, key)[: len(chosen)] for key in STAGED}
        block["depths"] = tuple(map(len, chosen))
    config = model.config
    dtype = config.dtype if config else "float32"
    network = networks.build(block, {}, {}, image=model.image, dtype=dtype, out={})
    if config is not None:
        encoder = {key: x for key, x in block.items() if key != "image"}
        config = replace(config, encoder=encoder, towers={}, decoders={})
    params = {"encoders": {"image": params}, "decoders": {}}
    return model._replace(
        name=_named(model, said), network=network, params=params, block=block, config=config
    )


def _taken(blocks: Params, numbers: Sequence[int]) -> Params:
    """These of stacked blocks, from 1."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(numbers) - 1], blocks)


def _staged(module: Any, key: str) -> tuple:
    """A field of a SwinV2 as one for each stage."""
    value = getattr(module, key)
    return (value,) * len(module.depths) if isinstance(value, int) else tuple(value)

"""What method, network and batch have to agree on, asked of sizes alone: nothing is traced.

Each refusal names what cannot be: a mask that hides nothing, cells that do not meet, a batch in
which nobody has a partner. What only a step can tell, it tells when it is traced (`explained`).
"""

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from m3i_jax import encoders
from m3i_jax.build import ConfigError, UserError, nearest
from m3i_jax.data.views import kinds
from m3i_jax.framework import Method
from m3i_jax.networks import Network
from m3i_jax.training import advice, deciding
from m3i_jax.training.config import Config

SEEN_BY = {"text": "text", "label": "table"}  # views, and the kinds of towers for them
MOST = 2**14  # cells of a tower


def check(config: Config, method: Method, network: Network) -> None:
    """Raises ConfigError where the parts of a run do not go together."""
    _check_views(config)
    _check_sums(config)
    _check_tensor(config)
    _check_sides(config, method, network)
    _check_cells(config, method, network)
    _check_masks(method, network)
    _check_varying(method, network)
    _check_blocks(method, network)
    _check_rows(config, method, network)
    _check_running(config, method)
    _check_micro_batches(config, method, network)
    _check_towers(method, network)
    _check_codes(method, network)
    _check_named(config, method)
    if config.validation:
        deciding.decisive(config, method)


def _check_views(config: Config) -> None:
    """Refuses views to which the same thing would be done on the host and on the device."""
    drawn = lambda block: block.get("rand_augment") is not None  # noqa: E731
    on_device = [name for name, block in config.augment.items() if drawn(block)]
    if on_device and drawn(config.crops):
        raise ConfigError(
            f"config.crops.rand_augment and config.augment.{on_device[0]}.rand_augment would "
            "change every image twice; set one of them to None"
        )


def _check_sums(config: Config) -> None:
    """Refuses to round what products in float32 keep."""
    if config.mesh.get("sums") == "bfloat16" and config.dtype != "bfloat16":
        raise ConfigError(
            f"config.mesh.sums is bfloat16, but config.dtype is {config.dtype}: gradients of "
            "products in float32 are summed in float32"
        )


def _check_tensor(config: Config) -> None:
    """Refuses an axis `tensor` for layers of which the compiler would choose how to split them: it
    gets some products wrong, without a word."""
    if config.mesh.get("tensor", 1) == 1:
        return
    named = {"encoder": config.encoder} | {f"towers.{name}": x for name, x in config.towers.items()}
    for block, said in named.items():
        if said.get("name") not in encoders.SPLIT:
            raise ConfigError(
                f"config.mesh.tensor is {config.mesh['tensor']}, but layers of config.{block}, "
                f"'{said.get('name')}', cannot be split so, only those of ViTs, texts and tables: "
                "leave it at 1, and share parameters by config.mesh.fsdp"
            )


def _check_sides(config: Config, method: Method, network: Network) -> None:
    """Refuses towers made for images of another size, and crops that do not divide."""
    shown = kinds.sides(config.crops, config.image)
    views = f"config.image is {config.image}"
    if shown[0] != shown[1]:
        views = f"views are {_by(shown)}, as config.crops.width says: config.encoder.image={shown}"
    for name, tower in network.towers.items():
        side = tuple(cells * tower.patch for cells in tower.grid or ())
        if side and side != shown:
            raise ConfigError(
                f"tower '{name}' is made for images of {_by(side)} pixels, but {views}"
            )
        if math.prod(tower.grid or ()) > MOST:
            raise ConfigError(
                f"tower '{name}' has {_by(tower.grid)} cells, expected at most {MOST}: take larger "
                "patches, or smaller images"
            )
    seen, stride = config.monitor.get("size") or 0, network.towers["image"].stride
    if seen % stride:
        raise ConfigError(
            f"config.monitor.size is {seen}, which is not divisible by {stride}, the patch of the "
            "encoder"
        )
    small = config.crops.get("local_size", 96)
    for code in (code for code in method.encoded.values() if re.fullmatch(r"l\d+", code.view)):
        if small > config.image:
            raise ConfigError(
                f"config.crops.local_size is {small}, but these crops are the small ones: "
                f"config.image is {config.image}"
            )
        if small % network.towers[code.encoder.tower].stride:
            raise ConfigError(
                f"config.crops.local_size is {small}, which is not divisible by "
                f"{network.towers[code.encoder.tower].stride}, the patch of the encoder"
            )


def _check_cells(config: Config, method: Method, network: Network) -> None:
    """Refuses codes that meet cell by cell, but whose cells are not the same."""

    def cells(code, *behind):
        heads = [config.decoders[name] for name in (*code.encoder.heads, *behind)]
        split = math.prod(head.get("split", 1) for head in heads)
        return tuple(side * split for side in network.towers[code.encoder.tower].grid or ())

    for name, view in method.views.items():
        codes = [method.codes[code] for code in view.codes.values()]
        if len({cells(code) for code in codes}) > 1:
            there = (f"'{c.encoder.tower}' has {_by(cells(c))}" for c in codes)
            raise ConfigError(
                f"view '{name}' is made cell by cell of the codes of several towers: "
                f"{', '.join(there)}; choose their config.towers.*.patch so that these agree"
            )
    for name, term in method.terms.items():
        block, x = config.decoders.get(term.decoder, {}), method.source_of(term.x)[1]
        if block.get("name") != "linear" or block.get("pool", "none") != "none":
            continue  # only these answer cell for cell, and not for cells of another grid
        asked, answered = cells(method.codes[term.y]), cells(x, term.decoder)
        asked = asked if term.predict.dense and term.positions != "matched" else ()
        if asked and asked != answered:
            raise ConfigError(
                f"term '{name}' asks {_by(asked)} cells, but decoder '{term.decoder}' answers for "
                f"{_by(answered)}: config.decoders.{term.decoder}.split is {block.get('split', 1)}"
            )


def _by(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid)) or "none"


def _check_masks(method: Method, network: Network) -> None:
    """Refuses masks that hide no cell of their grid or all of them."""
    hiding = [
        (f"the mask of code '{name}'", code.mask.hidden, code.mask.count, code.encoder.tower)
        for name, code in method.encoded.items()
        if code.mask is not None
    ]
    for name, view in method.views.items():
        towers = [c.encoder.tower for c in method.encoded.values() if c.view == name]
        if view.hidden is not None and towers:
            shown = lambda grid, view=view: view.count("first", grid)  # noqa: E731
            hiding.append((f"the mask of view '{name}'", view.hidden, shown, towers[0]))
    for what, hidden, visible, tower in hiding:
        grid = network.towers[tower].grid
        try:
            left, cells = visible(grid), math.prod(grid)
        except ValueError as error:
            raise ConfigError(f"{what} does not fit: {error}") from error
        if not 0 < left < cells:
            raise ConfigError(
                f"{what} hides {cells - left} of {cells} cells at hidden = {hidden:g}; expected "
                f"one at least, and one left"
            )


def _check_varying(method: Method, network: Network) -> None:
    """Refuses to drop cells where images differ in how many are hidden."""
    for name, code in method.encoded.items():
        tower = code.encoder.tower
        if code.mask and code.mask.varies and network.towers[tower].masking == "drop":
            place = "config.encoder" if tower == "image" else f"config.towers.{tower}"
            raise ConfigError(
                f"the mask of code '{name}' hides more cells of one image than of another, which "
                f"cannot be dropped; set {place}.hide='mask'"
            )


def _check_blocks(method: Method, network: Network) -> None:
    """Refuses codes of more blocks than the tower has."""
    for name, code in method.encoded.items():
        tower, needed = network.towers[code.encoder.tower], code.encoder.blocks
        if needed > tower.depth:
            raise ConfigError(
                f"code '{name}' is made of the last {needed} blocks of '{code.encoder.tower}', "
                f"which has {tower.depth}"
            )


def _check_rows(config: Config, method: Method, network: Network) -> None:
    """Refuses batches that are too small for what is asked of them."""
    rows = config.batch // config.accumulate
    for name, view in method.views.items():
        size = view.group or rows
        if view.partners and (size == 1 or rows % size):
            what = f"groups of {size}" if view.group else f"a batch of {rows}"
            raise ConfigError(
                f"view '{name}' mixes each image with another one of its group, which {what} "
                f"cannot give; expected 2 or more that divide the batch of {rows}"
            )
    for name, term in method.terms.items():
        if rows == 1 and term.predict.batchwise and not term.predict.weighed:
            raise ConfigError(
                f"term '{name}' contrasts each image with the others of the batch, but the batch "
                "is 1"
            )
        heads = {h for end in (term.x, term.y) for h in method.source_of(end)[1].encoder.heads}
        alike = sorted({term.decoder, *heads} & network.batchwise)
        if rows == 1 and alike and not term.predict.dense:
            raise ConfigError(
                f"config.decoders.{alike[0]} normalises over the batch, which has one row: all "
                "codes would be the same; take a larger batch, or norm = 'layer' or 'none'"
            )
    for code in method.encoded.values():
        cells = math.prod(network.towers[code.encoder.tower].grid or ())
        for slot in code.encoder.slots:
            if slot.least > rows * cells:
                raise ConfigError(
                    f"'{slot.name}' starts at {slot.least} of the tokens of a batch, which has "
                    f"{rows} x {cells} only: take a larger batch or a smaller vocabulary"
                )


def _check_running(config: Config, method: Method) -> None:
    """Refuses running statistics of a decoder that several passes of a step would move at once."""
    asked = [term.decoder for term in method.terms.values()]
    for name, block in sorted(config.decoders.items()):
        tracked = block.get("norm") == "running"
        if tracked and (asked.count(name) > 1 or name in method.heads()):
            raise ConfigError(
                f"config.decoders.{name}.norm is 'running', whose statistics move once in a step: "
                "expected a decoder of one term, which is no feature head; take 'layer' or 'batch'"
            )


def _check_micro_batches(config: Config, method: Method, network: Network) -> None:
    """Refuses to cut a batch whose loss is not the mean over its parts."""
    if config.accumulate == 1:
        return
    if config.weighting["name"] != "constant":
        raise ConfigError(
            "config.accumulate works with constant weights only: a gradient norm is of the "
            "whole batch"
        )
    for name, why in method.batchwise(network.batchwise).items():
        raise ConfigError(f"config.accumulate cannot cut the batch of term '{name}': {why}")
    for name, view in method.views.items():
        rows = config.batch // config.accumulate
        if view.group is None or rows % view.group:
            (place,) = advice.places(config, "mix_group", of=name)
            least = next(k for k in range(2, rows + 1) if not rows % k)
            raise ConfigError(
                f"config.accumulate cuts through the partners of view '{name}'; "
                f"set config.{place}={least}, or to another divisor of {rows} above 1"
            )


def _check_towers(method: Method, network: Network) -> None:
    """Refuses towers that see what they are not made for, and that are frozen and train."""
    frozen = {slot.source for slot in method.slots.values() if slot.frozen}
    for name, code in method.encoded.items():
        tower = code.encoder.tower
        kind, seen = network.towers[tower].kind, SEEN_BY.get(code.view, "image")
        if kind != seen and code.encoder.owner:
            raise ConfigError(
                f"code '{name}' shows view '{code.view}' to tower '{tower}', which is of kind "
                f"'{kind}', expected '{seen}'"
            )
        if code.encoder.owner == "online" and tower in frozen:
            raise ConfigError(f"code '{name}' trains tower '{tower}', which another code freezes")


def _check_codes(method: Method, network: Network) -> None:
    """Refuses to compare codes of different widths with nothing between them, and to learn nothing.

    A decoder is made to the width that its term wants.
    """
    for name, term in method.terms.items():
        ends = [method.source_of(end)[1].encoder for end in (term.x, term.y)]
        widths = [encoder.width(network.nodes) for encoder in ends]
        if term.decoder is None and widths[0] != widths[1]:
            said = " and ".join(
                f"{width} dimensions of '{'/'.join(('', e.tower, *e.heads)[1:])}'"
                for e, width in zip(ends, widths, strict=True)
            )
            raise ConfigError(f"term '{name}' compares {said}: give both the same heads")
    if not any(term.weight for term in method.terms.values()):
        raise ConfigError("config.objective has no term, or none with a weight above 0")


def _check_named(config: Config, method: Method) -> None:
    """Refuses weights for towers that are not frozen, and captions that no tower can read."""
    wanted = {slot.source for slot in method.slots.values() if slot.source}
    for tower in sorted(set(config.weights) - wanted):
        raise ConfigError(f"config.weights has '{tower}'{nearest(tower, wanted)}")
    longest, length = (
        block.get("length", 0) for block in (config.towers.get("text", {}), config.captions)
    )
    if "text" in method.sources and longest and length > longest:
        raise ConfigError(
            f"config.captions.length is {length}, but config.towers.text.length is {longest}"
        )


def check_categories(config: Config, count: int, *, check: Callable[[Config], Any]) -> None:
    """Raises ConfigError where the categories of the data are not those that a method learns.

    check: of a whole config, for what is advised.
    """
    sort = "sort it into folders"
    table = config.towers.get("category", {}).get("size")
    if table is None and count < 2:
        raise ConfigError(
            "the objective takes images of one category for positives of each other, but the data "
            f"set has {count} of them, expected 2 or more; {sort}, or take simclr, which reads none"
        )
    if table is not None and table != count:
        without = advice.switching_off(config, "category", check=check)
        raise ConfigError(
            f"the data set has {count} categories, but config.towers.category.size is {table}; "
            + (f"set it to {count}" if count else sort)
            + (f", or {without}" if without else "")
        )


def readers(config: Config, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Sizes of what reads captions, a text tower and decoders of them, and where they are said."""
    if tower := params["encoders"].get("text"):
        vocabulary, length = (tower[table].shape[0] for table in ("token_embed", "pos_embed"))
        yield dict(vocabulary=vocabulary, length=length)
    for name, block in config.decoders.items():
        if block["name"] == "caption":
            head = params["decoders"][name]
            said_by = ("config.objective.words", f"config.decoders.{name}.length")
            vocabulary, length = (x.shape[0] for x in (head["head"]["bias"], head["pos_embed"]))
            yield dict(vocabulary=vocabulary, length=length, said_by=said_by)


def explained(step: Callable) -> Callable:
    """`step`, of which whatever keeps it from being traced is a sentence for the user.

    A step is traced once, on shapes, and compiled only after that.
    """

    @functools.wraps(step)
    def traced(*args: Any) -> Any:
        try:
            return step(*args)
        except UserError:
            raise
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ConfigError(f"the parts of this config do not go together: {why}") from error

    return traced

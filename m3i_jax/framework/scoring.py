"""What the terms say about representations already computed: predictions, targets, scores."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int, Key, Shaped

from m3i_jax import masks, mixing
from m3i_jax.build import ConfigError
from m3i_jax.framework.distributions import Answer, Evidence, Target
from m3i_jax.framework.keys import named
from m3i_jax.framework.method import Method, RegionCode, Term
from m3i_jax.types import Array, Box, Features, Objects, View

SELDOM = "seldom"  # scope of what few steps compute, for those who count what a step costs


class Prepared(NamedTuple):
    """What a step reads; every array has the batch as its first axis.

    views: by name.  visible: per code, the cells its encoder may see.
    rows: per term, (B,) weights with mean 1 over the batch; none where every row counts alike.
    known: codes that had to be encoded for a mask.
    blocks: per code whose mask draws some, the cells of each.
    """

    views: dict[str, View]
    visible: dict[str, Bool[Array, "batch _rows _columns"]]
    rows: dict[str, Float32[Array, " batch"]]
    known: dict[str, Features]
    blocks: dict[str, Bool[Array, "batch _blocks _rows _columns"]] = {}


class Score(NamedTuple):
    """One term: its loss, the two parts of it, and what it is known to say.

    evidence: what prediction and target tell about the mutual information, see `Evidence`.
    """

    loss: Float32[Array, ""]
    prediction: Float32[Array, ""]
    regularizer: Float32[Array, ""] | None = None
    evidence: Evidence | None = None


class Question(NamedTuple):
    """What a decoder is asked: the features, where they were cut from, where the target was.

    cells: (B, m) int32, the cells that are asked for, h·w where there are fewer; None = all.
    words: (B, T) int32, the text whose words are asked for, each by those in front of it.
    objects: those of the image, which a head learns by: which of its proposals are some of them.
    """

    x: Features
    source: Box | None
    target: Box | None
    cells: Int[Array, "batch queries"] | None = None
    words: Int[Array, "batch length"] | None = None
    objects: Objects | None = None


def score(
    method: Method,
    network: Any,
    params: Any,
    representations: Mapping[str, Features],
    prepared: Prepared,
    *,
    terms: Sequence[str] | None = None,
    train: bool = False,
    key: Key[Array, ""] | None = None,
    read: Bool[Array, ""] | None = None,
) -> dict[str, Score]:
    """The Score of each term (all by default) from representations already computed.

    read: whether anybody reads the evidence, which is NaN where nobody does; None = always.
    """
    names = tuple(method.terms if terms is None else terms)
    predicted = predict(
        method, network, params, representations, prepared, names, train=train, key=key
    )
    # Evaluation gives no key, and wants the same value each time.
    draws = named(jax.random.key(0) if key is None else key, "regularize")
    shared = _pooled(method, {name: prediction for name, (prediction, _) in predicted.items()})
    return {
        name: _score(method, prepared, name, prediction, target, shared, read, draws)
        for name, (prediction, target) in predicted.items()
    }


def predict(
    method: Method,
    network: Any,
    params: Any,
    representations: Mapping[str, Features],
    prepared: Prepared,
    names: Sequence[str],
    *,
    train: bool = False,
    key: Key[Array, ""] | None = None,
) -> dict[str, tuple[Answer, Target]]:
    """{term: (prediction, Target)}: (B, L, D) by a dense decoder, (B, D) by a pooled one, or a
    record of arrays with the batch as their first axis, whatever the decoder answers by.

    Terms that ask one decoder questions of one shape (the images of a mix) are decoded in one
    call, row by row beside each other, so that no row leaves its device. A decoder that normalises
    over the batch answers each of them by itself: the statistics are of one view (BYOL, MoCo v3).
    Terms that ask it the same question, as the losses of a detector do, are answered once.
    """
    predicted, asked, firsts, same = {}, {}, {}, {}
    for name in names:
        term = method.terms[name]
        x, box, owner, group = _input(method, network, representations, prepared, term)
        target = _target(method, representations, prepared, term, x, owner, group)
        cells = _block(method, network, prepared, term)
        target = target if cells is None else _asked(target, cells)
        if term.decoder is None:
            predicted[name] = (x.tokens if term.predict.dense else x.pooled), target
            continue
        # A detector draws which of its proposals it learns by: its losses have to be of one draw,
        # so of one pass, and a second would cost as much as the first.
        asks = term.decoder, term.x, term.y, term.positions, term.block
        if (first := firsts.setdefault(asks, name)) != name:
            same[name] = first
            continue
        ends = (method.source_of(term.x)[1], method.codes[term.y])
        grids = tuple(network.towers[code.encoder.tower].grid for code in ends)
        # Of the view, not of the tower: boxes are in pixels of what is seen.
        size = prepared.views[ends[0].view].data.shape[1:3]
        # Which questions can be stacked: those of one decoder and of equal shapes, with and without
        # boxes alike (the structure of the tree).
        words = target.target_index if _of_words(method, term) else None
        question = Question(x, box, target.box, cells, words, target.objects)
        shape = jax.tree.structure(question), tuple(a.shape for a in jax.tree.leaves(question))
        # A name of its own keeps a question from being stacked with others.
        alone = name if term.decoder in network.batchwise else None
        how = term.decoder, grids, size, shape, alone
        asked.setdefault(how, []).append((name, question, target))
    for (decoder, grids, size, *_), calls in asked.items():
        named_first = "decode/" + calls[0][0]
        options = dict(grid=grids[0], target_grid=grids[1], size=size, train=train)
        options["key"] = key if key is None else named(key, named_first)
        predicted |= _answered(network, params, decoder, calls, options)
    predicted |= {name: predicted[first] for name, first in same.items()}
    return {name: predicted[name] for name in method.terms if name in predicted}


def _answered(
    network: Any,
    params: Any,
    decoder: str,
    calls: Sequence[tuple[str, Question, Target]],
    options: Mapping[str, Any],
) -> dict[str, tuple[Answer, Target]]:
    """{term: (answer, Target)} of questions of one shape to one decoder, in one call."""
    names, questions, targets = zip(*calls, strict=True)
    one = questions[0] if len(questions) == 1 else jax.tree.map(_beside, *questions)
    said = dict(source=one.source, target=one.target, cells=one.cells, words=one.words)
    # In evaluation a detector is shown nothing of what is there: it says what it finds.
    said["objects"] = one.objects if options["train"] else None
    if one.objects is not None and not options["train"]:
        said["extent"] = one.objects.extent
    answer = network.decode(params, decoder, one.x, **said, **options)
    answers = (_of_question(answer, number, len(names)) for number in range(len(names)))
    return {n: (y, t) for n, y, t in zip(names, answers, targets, strict=True)}


def _of_question(answer: Answer, number: int, count: int) -> Answer:
    """The answer to one of so many questions: (B·k, …) -> (B, …), the inverse of `_beside`."""
    return jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:])[:, number], answer)


def _beside(*rows: Shaped[Array, " batch *shape"]) -> Shaped[Array, " rows *shape"]:
    """k arrays (B, ...) as (B·k, ...), the k rows of a sample next to each other."""
    stacked = jnp.stack(rows, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _pooled(method: Method, predictions: dict[str, Answer]) -> dict[str, Float32[Array, ""]]:
    """{term: value of its regulariser} where terms share it: over the rows of all of them.

    Each of them counts it with its own weight, so weights that add up to 1 count it once.
    """
    sharing: dict[tuple, list[str]] = {}
    for name in predictions:
        term = method.terms[name]
        if term.regularize is not None and term.regularize.pooled:
            # Terms of different groups are differentiated apart, so they cannot share a value.
            sharing.setdefault((term.group, term.regularize), []).append(name)
    values = {}
    for (_, regularize), names in sharing.items():
        rows = _beside(*(predictions[name] for name in names))
        values |= dict.fromkeys(names, regularize.score(rows, None))
    return values


def _score(method, prepared, name, prediction, target, shared, read, draws) -> Score:
    term = method.terms[name]
    if term.predict.dense and target.tokens is not None:
        asked, answered = target.tokens.shape[1], prediction.shape[1]
        if asked != answered:
            raise ConfigError(
                f"term '{name}' predicts {answered} tokens of a target that has {asked}; has only "
                "one of them the class token?"
            )
    values = _by_row(method, prepared, term, prediction, target)
    rows = prepared.rows.get(name, jnp.ones_like(values))
    # `rows` has mean 1, so this is the mean over the rows that have a target.
    loss = expected = (values * rows).mean()
    regularizer = evidence = None
    if term.regularize is not None:
        given = (prediction, target, *([draws] if term.regularize.random else []))
        regularizer = shared[name] if name in shared else term.regularize.score(*given)
        loss = loss + regularizer
    if term.predict.evidence is not None:
        evidence = _evidence(term.predict.evidence, read, prediction, target, rows)
    return Score(term.weight * loss, expected, regularizer, evidence)


def _by_row(method, prepared, term, prediction, target) -> Float32[Array, " batch"]:
    """What a term says of each of its rows, without its weight."""
    # (B,), or (B, L) of dense terms, which are averaged over positions first: images count alike,
    # however many of their cells are hidden.
    values = term.predict.score(prediction, target)
    if not term.predict.dense:
        return values
    hidden = _hidden(method, prepared, term) if target.asked is None else target.asked
    return values.mean(-1) if hidden is None else _mean_where(values, hidden)


def by_sample(
    method: Method,
    network: Any,
    params: Any,
    representations: Mapping[str, Features],
    prepared: Prepared,
    *,
    train: bool = False,
    key: Key[Array, ""] | None = None,
) -> dict[str, Float32[Array, " batch"]]:
    """{term: what it says of each sample}: the values whose mean is its prediction's part.

    A row of a mixed view counts for the sample whose target it predicts. A sample without a target
    has 0. Terms that compare samples say of each how it is told apart from the others.
    """
    names = tuple(method.terms)
    predicted = predict(
        method, network, params, representations, prepared, names, train=train, key=key
    )
    values = {}
    for name, (prediction, target) in predicted.items():
        term = method.terms[name]
        rows = _by_row(method, prepared, term, prediction, target)
        rows = rows * prepared.rows.get(name, jnp.ones_like(rows))
        _, _, owner, _ = _input(method, network, representations, prepared, term)
        one_each = owner is not None and owner.ndim == 1
        # Row i is of sample owner[i], and each sample has one; in a slice of a batch, too, where
        # owners count from the start of the whole.
        values[name] = rows[jnp.argsort(owner)] if one_each else rows
    return values


def _evidence(estimate, read, *said) -> Evidence:
    """What (prediction, target, rows) tell of the information, computed where it is `read`."""
    # Read off, for the log: it must cost no backward pass.
    said = jax.lax.stop_gradient(said)
    if read is None:
        return estimate(*said)
    unread = jax.tree.map(
        lambda x: jnp.full(x.shape, jnp.nan, x.dtype), jax.eval_shape(estimate, *said)
    )
    with jax.named_scope(SELDOM):
        return jax.lax.cond(read, estimate, lambda *said: unread, *said)


def _input(method, network, representations, prepared, term: Term):
    """(Features, Box, owner, group) of a term's input; `owner` None means row i is sample i."""
    name, code = method.source_of(term.x)
    view, features = prepared.views[code.view], representations[name]
    region_code = method.codes[term.x]
    if not isinstance(region_code, RegionCode):
        return features, view.box, None, None
    region, derived = view.regions[region_code.region], method.views[code.view]
    if region_code.tokens == "own":
        grid = network.towers[code.encoder.tower].grid
        index = masks.indices(region.cells, derived.count(region_code.region, grid))
        # (B, n, D) -> (B, k, D); every image shows as many cells of a region, so k is static.
        own = jnp.take_along_axis(features.tokens, index[..., None], axis=1)
        features = Features(tokens=own, index=index)
    return features, region.box, region.owner, derived.group


def _target(method, representations, prepared, term: Term, x, owner, group) -> Target:
    """The code to predict, its rows in the order of the input's samples."""
    code, features = method.codes[term.y], representations[term.y]
    view = prepared.views[code.view]

    def align(x):
        return x if owner is None or x is None else mixing.take(x, owner, group=group)

    # A class table or a queue brings its candidates; the codes of a batch are each other's.
    candidates, target_index, valid = features.candidates, features.target_index, None
    if features.pooled is not None and candidates is None and target_index is None:
        # The codes of the batch are what the right one is told apart from.
        batch = features.pooled.shape[0]
        candidates, target_index = features.pooled, jnp.arange(batch, dtype=jnp.int32)
        valid = view.present
    box = view.box and Box(*(align(x) for x in view.box))
    tokens, pooled = align(features.tokens), align(features.pooled)
    if term.positions == "matched":
        # (B, m, D) -> (B, n, D), in the order of the input's tokens
        match = _match(x.pre_head_tokens, features.pre_head_tokens)
        tokens = jnp.take_along_axis(tokens, match[..., None], axis=1)
    target_index = align(target_index)
    asked = target_index != 0 if _of_words(method, term) else None  # 0 is padding
    known = None if code.identity is None else prepared.views[code.identity]
    identity = align(_identity(known, len(jax.tree.leaves(view.data)[0])))
    # The maps of an encoder are what heads read; of what is said of pixels they are what is said.
    said = align(features.maps[0]) if features.maps and features.tokens is None else None
    known = dict(box=box, asked=asked, identity=identity, map=said)
    if features.objects is not None:
        seen = prepared.views[method.source_of(term.x)[1].view].data
        known |= dict(objects=jax.tree.map(align, features.objects), size=seen.shape[1:3])
    return Target(tokens, pooled, candidates, target_index, valid, **known)


def _identity(known: View | None, batch: int) -> Int[Array, " batch"]:
    """(B,) int32, equal where samples are positives of each other, by what is `known` of them."""
    own = jnp.arange(batch, dtype=jnp.int32)
    # Numbers that no label has: who lacks one is like nobody else.
    return own if known is None else jnp.where(known.present, known.data, -1 - own)


def _of_words(method: Method, term: Term) -> bool:
    """Whether a term predicts the words of a text."""
    return method.codes[term.y].encoder.represents == "words"


def _block(
    method: Method, network: Any, prepared: Prepared, term: Term
) -> Int[Array, "batch queries"] | None:
    """The cells of the block that a term asks for, (B, m); h·w behind the last."""
    if term.block is None:
        return None
    name, code = method.source_of(term.x)
    most = code.mask.most(network.towers[code.encoder.tower].grid)
    return masks.indices(prepared.blocks[name][:, term.block], most)


def _asked(target: Target, cells: Int[Array, "batch queries"]) -> Target:
    """The tokens of some cells of a target; a cell that is none stands for the last, unasked."""
    length = (target.target_index if target.tokens is None else target.tokens).shape[1]
    take = lambda x, cells: jnp.take_along_axis(x, cells, axis=1, mode="clip")  # noqa: E731
    tokens = None if target.tokens is None else take(target.tokens, cells[..., None])
    index = target.target_index
    if index is not None and index.ndim == 2:
        index = take(index, cells)
    return target._replace(tokens=tokens, target_index=index, asked=cells < length)


def _match(
    x: Float[Array, "batch tokens dim"], y: Float[Array, "batch candidates dim"]
) -> Int[Array, "batch tokens"]:
    """For each token of x the one of y most like it by cosine: (B, n, D), (B, m, D) -> (B, n)."""
    # A token of zeros has no direction: it stays 0, and is no NaN.
    x, y = (z * jax.lax.rsqrt(jnp.square(z).sum(-1, keepdims=True) + 1e-12) for z in (x, y))
    return jnp.einsum("bnd,bmd->bnm", x, y).argmax(-1)


def _hidden(method: Method, prepared: Prepared, term: Term) -> Bool[Array, "batch tokens"] | None:
    """(B, L) bool: the target positions to score, None for all of them."""
    if term.positions != "hidden":
        return None
    name, code = method.source_of(term.x)
    region_code = method.codes[term.x]
    if isinstance(region_code, RegionCode):
        visible = prepared.views[code.view].regions[region_code.region].cells
    else:
        visible = prepared.visible[name]
    # (B, h, w) -> (B, h·w)
    return ~visible.reshape(visible.shape[0], -1)


def _mean_where(
    values: Float32[Array, "batch tokens"], where: Bool[Array, "batch tokens"]
) -> Float32[Array, " batch"]:
    """Mean over the last axis of the positions in `where`; 0 where there are none."""
    kept = where.astype(values.dtype)
    return (values * kept).sum(-1) / jnp.maximum(kept.sum(-1), 1.0)

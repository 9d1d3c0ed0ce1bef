"""What methods make of a code before they predict it: whitened, queued, assigned, quantised.

Each function wraps an encoder; those that remember something between steps bring a `Slot`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from m3i_jax import normalize, quantize, renamed
from m3i_jax.build import ConfigError
from m3i_jax.framework.assignments import Assignment
from m3i_jax.framework.codes import Encoder, Slot, _keep, _names, behind, refined, then
from m3i_jax.types import Array, Features


def standardize(encoder: Encoder) -> Encoder:
    """LN0: tokens with zero mean and unit variance over D.

    FD (Wei et al. 2022, https://arxiv.org/abs/2205.14141), SiameseIM (docs/methods.md#siamese_im).
    """
    return then(encoder, lambda f: f._replace(tokens=normalize.layer(f.tokens)))


def averaged(encoder: Encoder, *, standardized: bool = False) -> Encoder:
    """The global code of M3I's ablation: the mean of the patch tokens, then LN0 if asked for.

    Form f of its Table 2, which does not say how: docs/methods.md#table2.
    """

    def mean(f: Features) -> Features:
        pooled = f.tokens.mean(1)
        return Features(pooled=normalize.layer(pooled) if standardized else pooled)

    return then(encoder, mean)


def centroid(encoder: Encoder, views: tuple[str, ...]) -> Encoder:
    """The mean of the global codes of several views, whose gradients it passes on.

    LeJEPA (Balestriero & LeCun 2025, https://arxiv.org/abs/2511.08544), VISReg.
    """
    if encoder.slots or encoder.views:
        raise ValueError("a mean over views is of codes that keep no state and are of one view")

    def apply(inputs):
        codes = [encoder.apply(inputs.of(view))[0].pooled for view in views]
        return Features(pooled=sum(codes) / len(codes)), {}

    return encoder._replace(apply=apply, views=tuple(views))


def pooled_only(encoder: Encoder) -> Encoder:
    """`encoder` without its tokens, whose heads cost nothing then.

    Small crops, of which the image as a whole is asked: docs/methods.md#ibot.
    """
    return then(encoder, lambda f: Features(pooled=f.pooled))


def last_layers(encoder: Encoder, *, count: int) -> Encoder:
    """LN0 of the mean of LN0 of the outputs of the last `count` blocks.

    data2vec (Baevski et al. 2022, https://arxiv.org/abs/2202.03555); docs/methods.md#data2vec.
    """

    def mean(f: Features) -> Features:
        tokens = normalize.layer(_alike(f.layers[-count:], count)).mean(0)
        return Features(tokens=normalize.layer(tokens))

    if encoder.heads:
        raise ValueError("the outputs of blocks are those of the tower: no heads behind it")
    # Asking for the layers is all it takes: `passes` makes the tower return them.
    return then(encoder, mean, tower_outputs=encoder.tower_outputs | {"layers"}, blocks=count)


def _alike(
    layers: Float[Array, "{count} batch tokens dim"]
    | tuple[Float[Array, "batch _tokens _dim"], ...],
    count: int,
) -> Float[Array, "{count} batch tokens dim"]:
    """The last layers as one array; those of a hierarchical encoder may differ in shape."""
    if not isinstance(layers, tuple):
        return layers
    if len({layer.shape for layer in layers}) > 1:
        shapes = ", ".join(f"{layer.shape[1]} x {layer.shape[2]}" for layer in layers)
        raise ConfigError(
            f"the last {count} blocks of the encoder return tokens of different shapes ({shapes}), "
            "of which there is no mean: take fewer `layers`, or an encoder without stages"
        )
    return jnp.stack(layers)


def attentive(encoder: Encoder) -> Encoder:
    """`encoder` with its attention weights at hand: a guide for masks (docs/methods.md#milan)."""
    return encoder._replace(tower_outputs=encoder.tower_outputs | {"attention"})


def layered(encoder: Encoder) -> Encoder:
    """`encoder` whose heads get the outputs of all blocks, too (docs/methods.md#beit_v2)."""
    return encoder._replace(tower_outputs=encoder.tower_outputs | {"layers"})


def shared_heads(
    encoder: Encoder, heads: str | tuple[str, ...], *, trained: bool = False
) -> Encoder:
    """`encoder` and then heads of the *online* network, with no gradient, or one to them alone.

    MSN's prototypes, which both branches share: docs/methods.md#msn. Earlier codes that come along
    pass through them, too (SwAV's queue).

    trained: whether what predicts from these codes trains the heads (CAPI's clustering).
    """
    heads = _names(heads)

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        # The online heads as they are now, not their average: both branches have one set of
        # directions.
        weights = inputs.params if trained else jax.lax.stop_gradient(inputs.params)
        through = lambda f: refined(inputs, weights, heads, f, encoder.tower)  # noqa: E731
        found, earlier = through(features), features.candidates
        if earlier is not None:
            found = found._replace(candidates=through(Features(pooled=earlier)).pooled)
        return found, updates

    width = lambda nodes: nodes[heads[-1]].width  # noqa: E731
    stop = encoder.stop_gradient and not trained
    return encoder._replace(apply=apply, width=width, online_heads=heads, stop_gradient=stop)


def queue(
    encoder: Encoder, *, size: int = 65536, dense: bool = False, name: str = "queue"
) -> Encoder:
    """Codes among the last `size` ones, which are the negatives.

    pooled or tokens stay the positives; `candidates` (size, D) are what earlier batches left,
    unit vectors, random ones at first. dense: keep the mean of the tokens of an image (DenseCL).
    MoCo (He et al. 2020, §3.2, https://arxiv.org/abs/1911.05722); docs/methods.md#moco.
    """

    def init(key, network, owned):
        keys = jax.random.normal(key, (size, encoder.width(network.nodes)), jnp.float32)
        return {"keys": normalize.unit(keys), "next": jnp.zeros((), jnp.int32)}

    def update(owned, state, updates, progress):
        if not updates:
            return state
        # Reports of several codes, (B, D) each; a small queue keeps the last of them.
        fresh = jnp.concatenate(updates)[-size:]
        # A ring: the oldest are overwritten.
        places = (state["next"] + jnp.arange(fresh.shape[0])) % size
        keys = state["keys"].at[places].set(fresh)
        return {"keys": keys, "next": (state["next"] + fresh.shape[0]) % size}

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        # As earlier steps left them: what is new enters after the step, so no code is its own
        # negative.
        keys = inputs.states[name]["keys"]
        fresh = normalize.unit(features.tokens.mean(1) if dense else features.pooled)
        return features._replace(candidates=keys), updates | {name: jax.lax.stop_gradient(fresh)}

    settings = (size, dense)
    slot = Slot(name, init, update, settings, batchwise=True, behind=behind(encoder))
    return encoder._replace(apply=apply, slots=(*encoder.slots, slot))


def neighbours(
    encoder: Encoder, *, size: int = 98304, enter: bool = True, name: str = "queue"
) -> Encoder:
    """The nearest of the last `size` codes, by cosine, in the place of each pooled code.

    NNCLR (Dwibedi et al. 2021, Eq. 2, https://arxiv.org/abs/2104.14548).

    enter: whether the codes themselves enter the queue, behind the step.
    """
    queued = queue(encoder, size=size, name=name)

    def apply(inputs):
        features, updates = queued.apply(inputs)
        nearest = features.candidates[quantize.nearest(features.pooled, features.candidates)]
        # A code that only looks reports nothing to the queue.
        updates = updates if enter else {n: u for n, u in updates.items() if n != name}
        return Features(pooled=nearest), updates

    return queued._replace(apply=apply)


def assigned(
    encoder: Encoder,
    pooled: Assignment | None = None,
    *,
    tokens: Assignment | None = None,
    name: str = "centre",
) -> Encoder:
    """Shares of prototypes, of an encoder whose codes are logits over them.

    DINO and MSN assign pooled codes, iBOT tokens beside them, each kind with a centre of its own:
    docs/methods.md#assignments-to-prototypes.

    pooled, tokens: how each is assigned; None leaves it out.
    name: of the centre, if there is one; that of tokens is "dense_" and it.
    """
    parts = {"pooled": (name, pooled), "tokens": (f"dense_{name}", tokens)}
    parts = {field: part for field, part in parts.items() if part[1] is not None}

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        shares = {}
        for field, (slot, how) in parts.items():
            logits = getattr(features, field)
            dense = field == "tokens"
            beside = inputs.asked if dense else features.candidates
            centre = inputs.states.get(slot)
            shares[field] = how.shares(logits, centre, inputs.progress, beside)
            if how.momentum is not None:
                # Of this batch, for the steps to come: it would see itself in its own centre.
                count = jnp.ones(logits.shape[:-1], bool) if beside is None or not dense else beside
                updates |= {slot: _mean(logits, count)}
        return Features(**shares), updates

    slots = [
        _centre(slot, how, encoder) for slot, how in parts.values() if how.momentum is not None
    ]
    kinds = [how for _, how in parts.values()]
    keeps = ", ".join(dict.fromkeys(how.keeps for how in kinds if how.keeps))
    whole = encoder.batchwise or any(how.batchwise for how in kinds)
    slots = (*encoder.slots, *slots)
    return encoder._replace(apply=apply, slots=slots, keeps=keeps, batchwise=whole)


def _mean(
    logits: Float[Array, "*positions prototypes"], where: Bool[Array, "*positions"]
) -> Float[Array, " prototypes"]:
    """The mean (K,) over the positions that count; 0 where none does."""
    axes = tuple(range(logits.ndim - 1))
    count = jnp.maximum(where.sum(dtype=jnp.float32), 1.0)
    return logits.sum(axes, where=where[..., None]) / count


def _centre(name: str, how: Assignment, encoder: Encoder) -> Slot:
    """The running mean (K,) of logits, from 0."""

    def init(key, network, owned):
        return jnp.zeros((encoder.width(network.nodes),), jnp.float32)

    def update(owned, state, updates, progress):
        # One mean (K,) for each code of the slot: their views count alike.
        mean = jnp.stack(updates).mean(0)
        return how.momentum * state + (1.0 - how.momentum) * mean

    return Slot(name, init, update, (how.momentum,), batchwise=True, behind=behind(encoder))


def _codebook(encoder: Encoder, vocabulary: int):
    """init of the state of a vector quantiser: unit vectors, and whether they have been set."""

    def init(key, network, owned):
        width = encoder.width(network.nodes)
        codebook = normalize.unit(jax.random.normal(key, (vocabulary, width), jnp.float32))
        return {"words": codebook, "started": jnp.zeros((), bool)}

    return init


@renamed.arguments(codes="vocabulary")
def quantized(
    encoder: Encoder, *, vocabulary: int = 8192, decay: float = 0.99, name: str = "codebook"
) -> Encoder:
    """Tokens replaced by the nearest entry of a codebook, straight through.

    The codebook starts at the k-means of the first batch and follows the means of the tokens that
    chose each entry. `target_index` (B, n) are the visual tokens, numbers of entries;
    `pre_head_tokens` the tokens before.
    VQ-KD (Peng et al. 2022, §2.2, https://arxiv.org/abs/2208.06366).
    """

    def update(owned, state, updates, progress):
        # Not the state's: in the first step its entries are still those of `init`, and the ones
        # that were chosen from come with the updates.
        codebook = updates[0][0]
        tokens, nearest = (jnp.concatenate(parts) for parts in list(zip(*updates, strict=True))[1:])
        codebook = quantize.moved(codebook, tokens, nearest, decay=decay)
        return {"words": codebook, "started": jnp.ones((), bool)}

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        tokens = normalize.unit(features.tokens)
        # (B, n, d) -> (B·n, d)
        still = jax.lax.stop_gradient(tokens.reshape(-1, tokens.shape[-1]))
        state = inputs.states[name]
        # A branch, so that the k-means costs nothing after the first step.
        codebook = jax.lax.cond(
            state["started"],
            lambda: state["words"],
            lambda: quantize.kmeans(jax.random.key(0), still, vocabulary),
        )
        nearest = quantize.nearest(still, codebook)
        through = quantize.straight_through(tokens, codebook[nearest].reshape(tokens.shape))
        # `pre_head_tokens` let the commitment pull the tokens to their entries (`before`); a pooled
        # token is not quantised, and nothing may predict it by mistake.
        quantized_features = features._replace(
            tokens=through,
            target_index=nearest.reshape(tokens.shape[:2]),
            pre_head_tokens=tokens,
            pooled=None,
        )
        return quantized_features, updates | {name: (codebook, still, nearest)}

    start, settings = _codebook(encoder, vocabulary), (vocabulary, decay)
    options = dict(batchwise=True, behind=behind(encoder), least=vocabulary)
    slot = Slot(name, start, update, settings, **options)
    return encoder._replace(apply=apply, slots=(*encoder.slots, slot))


def before(quantized: Encoder) -> Encoder:
    """The tokens of a quantised code before they were replaced, with their gradient.

    What the commitment of docs/methods.md#vq_kd keeps near the codebook.
    """
    return then(quantized, lambda f: f._replace(tokens=f.pre_head_tokens))


@renamed.arguments(codes="vocabulary")
def visual_tokens(encoder: Encoder, *, vocabulary: int = 8192, name: str = "codebook") -> Encoder:
    """The nearest entry of each token in a codebook that is loaded and stays: visual tokens.

    BEiT v2 (Peng et al. 2022, §2.3, https://arxiv.org/abs/2208.06366).
    """

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        codebook = inputs.states[name]["words"]
        # The codebook's place is filled with that of the tokenizer's file: `source` of the slot.
        nearest = quantize.nearest(jax.lax.stop_gradient(features.tokens), codebook)
        return Features(target_index=nearest), updates

    start, of = _codebook(encoder, vocabulary), dict(source=encoder.tower, behind=behind(encoder))
    slot = Slot(name, start, _keep, (vocabulary,), **of)
    return encoder._replace(
        apply=apply,
        width=lambda nodes: vocabulary,
        slots=(*encoder.slots, slot),
        stop_gradient=True,
    )

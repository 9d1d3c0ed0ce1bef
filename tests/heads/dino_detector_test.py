"""DINO's head: what it returns, which cells it chooses, what it refuses, and what it can learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3i_jax import decoders, losses
from m3i_jax.build import ConfigError
from m3i_jax.detection import box_sets
from m3i_jax.heads.dino_detector import DinoDetector
from m3i_jax.trees import count
from m3i_jax.types import Features, Objects
from tests.heads.layers import drawn, features, shapes_of

SIZE = (32, 32)
SMALL = dict(
    name="dino_detector",
    width=8,
    queries=6,
    layers=2,
    encoder_layers=1,
    heads=2,
    hidden=8,
    groups=2,
    found=9,
)
MAPS = features((2, 8, 8, 4), (2, 4, 4, 4), (2, 2, 2, 4), (2, 1, 1, 4))
OBJECTS = Objects(
    jnp.float32([[[2, 4, 20, 30], [10, 0, 14, 8], [0, 0, 0, 0]], [[5, 5, 28, 17]] + [[0] * 4] * 2]),
    jnp.int32([[2, 0, -1], [1, -1, -1]]),
)


def head(**how):
    return decoders.create(SMALL | how, out=5)


@pytest.fixture(scope="module")
def made():
    params = {"params": drawn(head(), MAPS, size=SIZE)}

    def run(objects, key):
        how = dict(size=SIZE, objects=objects, train=True, rngs={"draw": key})
        return head().apply(params, MAPS, **how)

    run = jax.jit(run)
    return params, run, run(OBJECTS, jax.random.key(1))


def test_answers_of_every_layer(made):
    _, _, answers = made
    shapes = jax.tree.map(jnp.shape, answers)
    assert shapes.layers == ((2, 2, 6, 5), (2, 2, 6, 4))
    assert shapes.proposals == ((2, 6, 5), (2, 6, 4))
    assert shapes.noised == ((2, 2, 12, 5), (2, 2, 12, 4))


def test_queries_know_nothing_of_the_objects_that_are_noised_beside_them(made):
    _, run, answers = made
    other = run(OBJECTS._replace(categories=OBJECTS.categories[::-1]), jax.random.key(2))
    for x, y in zip(
        answers.layers + answers.proposals, other.layers + other.proposals, strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert not np.allclose(answers.noised.boxes, other.noised.boxes, atol=1e-2)


def test_padding_changes_nothing(made):
    """What stands where there is no object moves nothing that is said of the objects."""
    _, run, answers = made
    corners = jnp.where((OBJECTS.categories < 0)[..., None], 7.0, OBJECTS.corners)
    other = run(OBJECTS._replace(corners=corners), jax.random.key(1))
    real = np.tile(np.asarray(OBJECTS.categories) >= 0, (1, 4))
    for x, y in zip(answers.noised, other.noised, strict=True):
        x, y = (np.moveaxis(np.asarray(z), 1, 2)[real] for z in (x, y))
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_an_image_in_a_larger_view_is_answered_as_it_is_alone(made):
    """Whatever is in the maps beside it: what is said, found and learned, to rounding."""
    params, alone, wide = made[0], (32, 64), (64, 64)
    small = features((2, 16, 32, 4), (2, 8, 16, 4), (2, 4, 8, 4), (2, 2, 4, 4))
    noise = np.random.default_rng(5).normal
    beside = lambda y: np.float32(noise(3, 9, (2, 2 * y.shape[1], *y.shape[2:])))  # noqa: E731
    large = [beside(y) for y in small.maps]
    for y, own in zip(large, small.maps, strict=True):
        y[:, : own.shape[1]] = own
    extent = jnp.tile(jnp.float32([alone]), (2, 1))
    padded = Features(maps=tuple(map(jnp.asarray, large))), wide, extent
    pair = [padded, (small, alone, None)]

    @jax.jit
    def both(params):
        def loss(params, x, size, extent):
            objects = OBJECTS._replace(extent=extent)
            how = dict(size=size, objects=objects, train=True, rngs={"draw": jax.random.key(1)})
            answers = head().apply(params, x, **how)
            return sum(part.mean() for part in losses.box_set(answers, objects, size=size)), answers

        slopes = jax.value_and_grad(loss, has_aux=True)
        found = [head().apply(params, x, size=s, extent=e) for x, s, e in pair]
        return [slopes(params, *one) for one in pair], found

    (((lost, said), slope), ((right, answers), wanted)), found = both(params)
    np.testing.assert_allclose(lost, right, rtol=1e-5)
    for trees in ((said, answers), found):
        for x, y in zip(*map(jax.tree.leaves, trees), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    largest = max(np.abs(y).max() for y in jax.tree.leaves(wanted))
    for x, y in zip(*map(jax.tree.leaves, (slope, wanted)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6 * largest)
    assert found[0].corners[..., 0].max() <= 32 < found[0].corners[..., 3].max()


def test_beside_training_it_finds_objects(made):
    params, _, answers = made
    got = jax.jit(lambda p: head().apply(p, MAPS, size=SIZE))(params)
    assert got.corners.shape == (2, 9, 4) and (np.diff(got.scores) <= 0).all()
    best = jax.nn.sigmoid(answers.layers.categories[:, -1]).max((1, 2))
    np.testing.assert_allclose(got.scores[:, 0], best, rtol=1e-4)
    plain = jax.eval_shape(
        lambda p: head(dtype="bfloat16").apply(p, MAPS, size=SIZE, train=True), params
    )
    assert plain.noised is None and plain.layers.boxes.dtype == jnp.float32


def test_count_of_the_published_one():
    """Of a ResNet-50 and COCO's 91 numbers: 47.7 million with its 23.5."""
    maps = [jax.ShapeDtypeStruct((1, 64 >> i, 64 >> i, 256 << i), jnp.float32) for i in range(4)]
    module, d = DinoDetector(91), 256
    got = count(shapes_of(module, Features(maps=tuple(maps)), size=(256, 256)))
    square = d * d + d
    encoder = 2 * square + 384 * (d + 1) + 2 * d * 1024 * 2 + 2048 + d + 4 * d
    inputs = sum((256 << i) * d + 3 * d for i in (1, 2, 3)) + 9 * 2048 * d + 3 * d
    proposals = square + 2 * d + 91 * (d + 1) + 2 * square + 4 * (d + 1)
    decoder = 9_628_767
    learned = (4 + 900 + 91) * d
    assert got == 6 * encoder + inputs + proposals + decoder + learned


@pytest.mark.parametrize(
    "how, words",
    [
        (dict(width=10, heads=4), "width 10 and 4 heads; expected a multiple"),
        (dict(dtype="float8"), "no dtype 'float8'"),
    ],
)
def test_options_that_do_not_fit(how, words):
    with pytest.raises(ConfigError, match=words):
        DinoDetector(out=5, **how).check()


def test_more_queries_than_cells():
    with pytest.raises(ConfigError, match="chooses 100 queries among 22 cells of 4x4, 2x2, 1x1, 1"):
        shapes_of(head(queries=100), MAPS, size=SIZE)


def pictures():
    """Two images of 32x32, a channel for each category, with three boxes; their maps are means."""
    corners = np.float32([[[2, 4, 18, 30], [20, 2, 30, 12]], [[5, 5, 28, 17], [0, 0, 0, 0]]])
    things = Objects(corners, np.int32([[2, 0], [1, -1]]))
    images = np.zeros((2, *SIZE, 4), np.float32)
    images[..., 3] = 1
    for b, g in ((0, 0), (0, 1), (1, 0)):
        top, left, bottom, right = corners[b, g].astype(int)
        images[b, top:bottom, left:right, things.categories[b, g]] = 1
    pooled = lambda s: images.reshape(2, 32 // s, s, 32 // s, s, 4).mean((2, 4))  # noqa: E731
    return Features(maps=tuple(pooled(s) for s in (2, 4, 8, 16))), things


@pytest.mark.slow
def test_it_learns_two_pictures_by_heart():
    """All three boxes are the surest of their image, within a pixel, and of their category."""
    maps, things = pictures()
    how = dict(width=16, hidden=16)
    module = decoders.create(SMALL | how, out=3)
    steps = 200
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(0.01, steps))
    )

    def loss(params, key):
        given = dict(size=SIZE, objects=things, train=True, rngs={"draw": key})
        answers = module.apply(params, maps, **given)
        value = losses.box_set(answers, things, size=SIZE).weighted().mean()
        return value, jax.tree.map(lambda x: x[:, -1], answers.layers)

    def step(carry, key):
        params, state = carry
        (value, said), grads = jax.value_and_grad(loss, has_aux=True)(params, key)
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(params, updates), state), (value, said)

    @jax.jit
    def trained(key):
        params = module.init(key, maps, size=SIZE)
        start = params, optimiser.init(params)
        _, (values, said) = jax.lax.scan(step, start, jax.random.split(key, steps))
        return values, box_sets.best_boxes(jax.tree.map(lambda x: x[-1], said), size=SIZE, count=6)

    values, found = trained(jax.random.key(0))
    assert values[-1] < 0.25 * values[0]
    for b, some in ((0, 2), (1, 1)):
        order = np.argsort(-things.categories[b, :some])
        kinds = np.asarray(found.categories[b, :some])
        np.testing.assert_array_equal(np.sort(kinds)[::-1], things.categories[b, order])
        best = np.asarray(found.corners[b, :some])[np.argsort(-kinds)]
        np.testing.assert_allclose(best, things.corners[b, order], atol=1)

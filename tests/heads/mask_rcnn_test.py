"""Mask R-CNN as a whole: exact counts, degenerate images, and a few images learned by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3i_jax import decoders, encoders, losses, trees
from m3i_jax.build import ConfigError
from m3i_jax.heads.mask_rcnn import MaskRCNN
from m3i_jax.types import Features, Objects
from tests.heads import boxes64

SIZE = (64, 64)
TINY = dict(width=24, hidden=48, box_layers=1, mask_layers=1, proposal_layers=1, anchor_scale=4.0)
TINY |= dict(anchors=48, regions=32, level_proposals=(40, 40), proposals=40, candidates=80, found=6)
TINY |= dict(canonical=64.0)
PARTS = ("anchor_objectness", "anchor_boxes_l1", "region_categories", "region_boxes_l1")
PARTS += ("region_masks",)


def test_parameters_of_vitdet():
    """ViT-B for 1024 pixels and 80 categories, as detectron2 counts it."""
    fields = dict(image=1024, positions="learned", class_token=False, final_norm=False)
    fields |= dict(window=14, global_blocks=(3, 6, 9, 12), relative_bias="decomposed")
    encoder = encoders.create("vit_b16", **fields)
    head = decoders.create(dict(name="mask_rcnn"), out=80)

    def init(key, images):
        x, own = encoder.init_with_output(key, images)
        maps = (x.tokens.reshape(1, 64, 64, 768),)
        return own["params"], head.init(key, Features(maps=maps), size=(1024, 1024))["params"]

    image = jax.ShapeDtypeStruct((1, 1024, 1024, 3), jnp.float32)
    first, second = jax.eval_shape(init, jax.random.key(0), image)
    parts = {name: trees.count(x) for name, x in second.items()}
    assert parts == {
        "neck": 5_560_000,
        "rpn": 1_184_015,
        "box_head": 15_618_449,
        "mask_head": 2_644_304,
    }
    # Positions are counted as they come, 14x14 and a class token's, not as they are resampled.
    own = trees.count(first) - 64**2 * 768 + 197 * 768
    assert own + trees.count(second) == 110_895_792


@pytest.fixture(scope="module")
def features():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 16)).astype(np.float32)
    return Features(maps=(x,))


@pytest.fixture(scope="module")
def objects():
    """Two, one and three, all of other sizes; masks are halves of them."""
    corners = np.zeros((3, 4, 4), np.float32)
    corners[0, :2] = [[4, 6, 30, 28], [30, 36, 60, 62]]
    corners[1, 0] = [10, 8, 58, 60]
    corners[2, :3] = [[2, 2, 20, 40], [30, 4, 62, 26], [28, 34, 50, 60]]
    categories = np.array([[1, 0, -1, -1], [2, -1, -1, -1], [0, 2, 1, -1]], np.int32)
    masks = np.zeros((3, 4, 14, 14), np.uint8)
    masks[:, :, :7] = 1
    masks[0, 1], masks[0, 1, :, 7:] = 0, 1
    return Objects(corners, categories, masks)


@pytest.fixture(scope="module")
def head():
    return MaskRCNN(3, **TINY)


@pytest.fixture(scope="module")
def params(head, features):
    """As they start, drawn without compiling what is found."""
    init = functools.partial(head.init, size=SIZE)
    shapes = jax.eval_shape(init, jax.random.key(0), features)["params"]
    rng = np.random.default_rng(1)

    def start(path, leaf):
        name = jax.tree_util.keystr(path)
        if "kernel" not in name:
            return jnp.full(leaf.shape, float("scale" in name))
        fan = np.prod(leaf.shape[:-1])
        last = any(part in name for part in ("objectness", "deltas", "categories", "masks"))
        return jnp.float32(rng.normal(0, 0.01 if last else np.sqrt(2 / fan), leaf.shape))

    return jax.tree_util.tree_map_with_path(start, shapes)


@pytest.fixture(scope="module")
def graded(head):
    """(params, features, objects, key) -> (the parts, answers), gradients; compiled once."""

    def loss(params, features, objects, key):
        given = dict(size=SIZE, objects=objects, train=True)
        answers = head.apply({"params": params}, features, **given, rngs={"draw": key})
        parts = {name: getattr(losses, name)(answers) for name in PARTS}
        return sum(x.mean() for x in parts.values()), (parts, answers)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def test_every_part_learns_of_its_own_draw(params, features, objects, graded):
    (_, (parts, answers)), grad = graded(params, features, objects, jax.random.key(0))
    for path, leaf in trees.named_leaves(grad):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    np.testing.assert_allclose(parts["anchor_objectness"].mean(), np.log(2), rtol=0.05)
    np.testing.assert_allclose(parts["region_categories"].mean(), np.log(4), rtol=0.1)
    np.testing.assert_allclose(parts["region_masks"].mean(), np.log(2), rtol=0.05)
    assert answers.anchor_valid.all() and answers.region_valid.all()
    assert (np.asarray(answers.region_positive).sum(1) >= [2, 1, 3]).all(), "objects themselves"
    np.testing.assert_array_equal(answers.mask_valid, answers.region_positive[:, :8])
    np.testing.assert_array_equal(answers.categories == 3, ~answers.region_positive)
    again, other = (graded(params, features, objects, jax.random.key(i))[0][0] for i in (0, 1))
    (first, _), _ = graded(params, features, objects, jax.random.key(0))
    assert first == again != other


def test_images_without_objects_and_objects_without_size(params, features, objects, graded):
    """One has none, one a line, one a point and a box beyond the image: all is finite."""
    corners = np.zeros((3, 4, 4), np.float32)
    corners[1, 0], corners[2, 0], corners[2, 1] = [8, 8, 8, 40], [5] * 4, [-30, 40, 90, 95]
    categories = np.array([[-1] * 4, [0, -1, -1, -1], [1, 2, -1, -1]], np.int32)
    odd = Objects(corners, categories, objects.masks)
    (loss, (parts, answers)), grad = graded(params, features, odd, jax.random.key(0))
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in jax.tree.leaves(grad))
    np.testing.assert_array_equal(answers.region_positive[:2].sum(1), 0)
    for name in ("anchor_boxes_l1", "region_boxes_l1", "region_masks"):
        assert not parts[name][:2].any()
    assert (parts["region_categories"] > 0).all() and (parts["anchor_objectness"] > 0).all()


def test_places_that_are_padding_change_nothing(head, params, features, objects):
    """500 places for three objects: nothing is drawn by chance, so that all is drawn."""
    fields = TINY | dict(anchors=2000, regions=544, region_share=1.0, masks=False)
    whole = MaskRCNN(3, **fields)
    given = {name: x for name, x in params.items() if name != "mask_head"}
    few = Objects(objects.corners[2:], objects.categories[2:])
    one = Features(maps=(features.maps[0][2:],))
    corners, kinds = np.zeros((1, 500, 4), np.float32), np.full((1, 500), -1, np.int32)
    corners[:, :4], kinds[:, :4] = few[:2]
    many = Objects(corners, kinds)

    @jax.jit
    def parts(objects):
        answers = whole.apply({"params": given}, one, size=SIZE, objects=objects)
        return [getattr(losses, name)(answers) for name in PARTS[:-1]]

    for a, b in zip(parts(few), parts(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_it_learns_its_images_by_heart(head, params, features, objects, graded):
    optimizer = optax.adam(5e-3)
    update = jax.jit(optimizer.update)
    state = jax.jit(optimizer.init)(params)
    for i in range(60):
        _, grad = graded(params, features, objects, jax.random.key(i))
        updates, state = update(grad, state)
        params = jax.tree.map(np.add, params, updates)

    @jax.jit
    def found_in(extent):
        return head.apply({"params": params}, features, size=SIZE, extent=extent)

    found = jax.device_get(found_in(np.full((3, 2), 64, np.float32)))
    for image, count in enumerate((2, 1, 3)):
        surest = found.scores[image] > 0.5
        assert surest.sum() == count
        for i in np.flatnonzero(surest):
            overlaps = [boxes64.iou(found.corners[image, i], o) for o in objects.corners[image]]
            best = int(np.argmax(overlaps))
            assert overlaps[best] > 0.7
            assert found.categories[image, i] == objects.categories[image, best]
            mask = objects.masks[image, best].repeat(2, 0).repeat(2, 1)
            assert (((found.masks[image, i] > 0.5) == mask).mean()) > 0.8
    assert ((found.scores == 0) == (found.categories == -1)).all()
    extent = np.array([[64, 64], [30, 64], [64, 20]], np.float32)
    cut = found_in(extent)
    assert (cut.corners[..., 2].max(1) <= extent[:, 0]).all()
    assert (cut.corners[..., 3].max(1) <= extent[:, 1]).all()


@pytest.mark.parametrize(
    "fields, words",
    [
        (dict(anchor_overlaps=(0.7, 0.3)), "anchor_overlaps 0.7 and 0.3: .* the lower one first"),
        (dict(ratios=()), "has no ratios of anchors"),
        (dict(regions=3), "draws 3 regions and of these the share 0.25 of objects, which is none"),
        (dict(pyramid="simpel"), "did you mean 'simple'"),
        (dict(norm="batch"), "norm"),
        (dict(score=1.0), "score is 1.0, expected 0 or more and less than 1"),
        (dict(dtype="int8"), "dtype"),
    ],
)
def test_options_that_do_not_fit_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        decoders.create(dict(name="mask_rcnn", **fields), out=3)


def test_what_cannot_be_read_is_refused(head, features, objects):
    with pytest.raises(
        ConfigError, match="a map of 16x16 cells of images of 64x48, of which a cell"
    ):
        jax.eval_shape(functools.partial(head.init, size=(64, 48)), jax.random.key(0), features)
    given = dict(size=SIZE, objects=objects._replace(masks=None))
    with pytest.raises(ValueError, match="learns masks, and objects have none: set masks=False"):
        jax.eval_shape(functools.partial(head.init, **given), jax.random.key(0), features)

"""Dense methods: what they read, and their losses and gradients through the whole engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import geometry, heatmaps, losses, methods
from m3i_jax.training import assemble
from m3i_jax.training.step import views


def test_what_they_read():
    seg = methods.segmentation(classes=19, blocks=(4, 6, 8, 12), auxiliary=0.4)
    assert (seg.images, seg.annotations, seg.said("mask")) == ({"a"}, ("mask",), 19)
    assert seg.maps == {"image": (4, 6, 8, 12)} and seg.classifier is None
    assert seg.decoders({}) == {"segmentation": 19, "auxiliary": 19}
    assert seg.terms["auxiliary"].weight == 0.4
    assert methods.depth().annotations == ("depth",) and methods.depth().maps == {"image": "last"}
    assert methods.pose(points=14).said("points") == 14


def test_they_are_what_encoders_are_judged_by():
    assert set(methods.DENSE) >= {"segmentation", "depth", "pose"}
    assert not set(methods.DENSE) & set(methods.PUBLISHED)
    assert "segmentation" not in methods.table()


def predicted(run, params, images, blocks):
    """What the head of a run says, by the network alone."""
    network, tower = run.network, run.network.towers["image"]
    numbers = geometry.numbered(blocks, tower.depths)
    features = network.encode(params, "image", images, layers=True, train=False)
    where = dict(strides=tower.strides, size=images.shape[1:3])
    features = geometry.mapped(features, numbers, **where)
    (name,) = network.decoders
    return network.decode(params, name, features, train=True, key=jax.random.key(0))


def wanted(name, maps, said):
    """The loss by the numerics alone, a value for each row."""
    if name == "segmentation":
        return losses.pixel_cross_entropy(geometry.bilinear(maps, (16, 16)), said.mask)
    if name == "depth":
        depth = geometry.bilinear(maps, (16, 16))[..., 0]
        return losses.silog(depth, said.depth, said.depth > 0)
    target = heatmaps.encode(said.points, maps.shape[1:3], crop=(16, 16), sigma=1.0)
    return losses.heatmap(maps, target.maps, target.weights)


@pytest.mark.parametrize("name", ["segmentation", "depth", "pose"])
def test_the_engine_has_the_loss_and_gradient_of_the_parts(name, shrunk, batch, fits, one_device):
    mesh, devices = one_device
    config = shrunk(name, **{"augment": {}, "crops": {}, "mesh": mesh})
    run = assemble.finish(assemble.check(config, devices=devices), images=64)
    given = fits(run, batch)
    # Each sample says something, so that rows count alike.
    said = given.annotations["a"]
    said = said._replace(present={k: np.ones(8, bool) for k in said.present})
    given = given._replace(annotations={"a": said})
    state, key = run.create(), jax.random.key(3)
    seen = views(key, given, {})
    prepared = fw.prepare(run.method, run.network, seen, key=key)
    how = dict(progress=0.0, key=key)
    result = jax.jit(
        lambda params: fw.gradients(
            run.method, run.network, run.weighting, params, state.slots, prepared,
            balance=state.balance, **how,
        )
    )(state.params)  # fmt: skip

    blocks = run.method.maps["image"]
    alone = lambda params: jnp.mean(  # noqa: E731
        wanted(name, predicted(run, params, seen["a"].data, blocks), said)
    )
    loss, slope = jax.jit(jax.value_and_grad(alone))(state.params)
    np.testing.assert_allclose(result.loss, loss, rtol=1e-5)
    for (path, ours), theirs in zip(
        jax.tree.leaves_with_path(result.params), jax.tree.leaves(slope), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6, err_msg=str(path))
    assert float(fw.engine._norm(result.params)) > 0

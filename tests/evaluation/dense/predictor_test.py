"""What a network says of pixels is its head on the maps that its method reads."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import geometry, methods, networks
from m3i_jax.evaluation.dense import predictor

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=4, heads=2)


def test_the_head_of_a_method_reads_its_blocks():
    method = methods.segmentation(classes=3, blocks=(2, 4))
    head = {"segmentation": dict(name="dense_linear", maps=(0, 1))}
    how = dict(image=16, dtype="float32", out=method.decoders({}), maps=method.maps)
    network = networks.build(BLOCK, {}, head, **how)
    params = network.init(jax.random.key(0))
    found = predictor.of_method(method, network, params, "mask")
    assert (found.decoder, found.blocks, found.stride) == ("segmentation", (2, 4), 4)
    assert predictor.of_method(method, network, params, "depth") is None
    # Images of another size than the encoder was made for, and no squares.
    assert found.size == (16, 16)
    wide = networks.build(BLOCK | {"image": (16, 24)}, {}, head, **how)
    assert found._replace(network=wide).size == (16, 24)
    images = jnp.float32(np.random.default_rng(0).normal(size=(2, 16, 24, 3)))
    said = found.said(params, images)
    features = network.encode(params, "image", images, layers=True)
    maps = tuple(features.layers[n].reshape(2, 4, 6, 16) for n in (1, 3))
    np.testing.assert_array_equal(found.seen(params, images).maps[0], maps[0])
    wanted = network.decode(params, "segmentation", features._replace(maps=maps))
    assert said.shape == (2, 4, 6, 3)
    np.testing.assert_allclose(said, wanted, rtol=1e-6)
    assert geometry.numbered(found.blocks, (4,)) == (2, 4)

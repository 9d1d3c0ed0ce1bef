"""A work directory is read back: which branch, which step, which baselines."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders, normalize
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models


def test_the_newest_step_and_the_moving_average_are_the_default(finished_run):
    found = models.restore(finished_run)
    assert (found.step, found.branch) == (8, "ema")
    assert models.restore(finished_run, step=4).step == 4
    assert models.restore(finished_run / "checkpoints" / "4").step == 4
    online = models.restore(finished_run, branch="online")
    same = jax.tree.map(
        np.array_equal, online.params["encoders"]["image"], found.params["encoders"]["image"]
    )
    assert not all(jax.tree.leaves(same))


@pytest.mark.parametrize(
    "where, branch, sentence",
    [
        ("", "emma", "has the branches ema and online, not 'emma'; did you mean 'ema'"),
        ("no", "ema", "no checkpoints"),
    ],
)
def test_what_is_not_there_is_said(finished_run, where, branch, sentence):
    with pytest.raises(ConfigError, match=sentence):
        models.restore(finished_run / where, branch=branch)


def test_a_step_that_is_not_there_names_the_nearest(finished_run):
    with pytest.raises(ConfigError, match="no checkpoint of step 7; the nearest one is 8"):
        models.restore(finished_run, step=7)


def test_an_encoder_sees_larger_images_with_tables_for_them(finished_run):
    small, large = models.restore(finished_run), models.restore(finished_run, image=32)
    assert (small.image, large.image, large.config.image) == (16, 32, 32)
    assert large.network.towers["image"].grid == (8, 8)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    found = models.encode(large, large.params, images)
    # A fixed table of sines is made for the larger grid, and every weight is the same.
    fields = {**small.config.encoder, "image": 32}
    module = encoders.create(fields.pop("name"), **fields)
    x = normalize.channels(jnp.float32(images) / 255)
    expected = module.apply({"params": small.params["encoders"]["image"]}, x)
    np.testing.assert_allclose(found.tokens, expected.tokens, rtol=1e-5, atol=1e-5)


def test_digests_tell_weights_blocks_and_sizes_apart():
    block = {"name": "vit_nano", "image": 8, "patch": 4, "width": 16, "depth": 1}
    made = [
        models.fresh(block),
        models.fresh(block, seed=1),
        models.fresh(block | {"heads": 2}),
        models.fresh(block | {"image": 16}),
    ]
    assert len({models.digest(model) for model in made}) == 4
    assert models.digest(models.fresh(block)) == models.digest(made[0])
    assert models.digest(models.RAW) == models.digest(models.pixels(made[0])) == ""


def test_what_is_no_encoder_of_square_images_is_a_sentence():
    with pytest.raises(ConfigError, match="'text_nano' is no encoder of images"):
        models.fresh({"name": "text_nano"})
    with pytest.raises(ConfigError, match="sees images of 8x16; expected squares: give --image=8"):
        models.fresh({"name": "vit_nano", "image": (8, 16), "patch": 4})


def test_the_untrained_model_is_what_the_run_started_from(finished_run):
    fresh_model = models.untrained(models.restore(finished_run))
    fresh = fresh_model.network.init(jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, fresh_model.params, fresh)))


def test_baselines_of_two_models_have_names_of_their_own(finished_run):
    run, fresh = models.restore(finished_run), models.fresh({"name": "vit_nano", "depth": 1})
    names = [model.name for model in models.with_baselines(run)]
    assert names == [f"{finished_run}@8", f"untrained:{finished_run}", "pixels"]
    file = fresh._replace(name="a/model.safetensors", branch="file")
    assert models.untrained(file).name == "untrained:a/model.safetensors"


def test_a_baseline_of_several_models_is_measured_once(finished_run):
    run = models.restore(finished_run)
    other = models.restore(finished_run, branch="online")
    seeded = run._replace(config=replace(run.config, seed=7))
    alike = models.beside_baselines([run, models.RAW, other, seeded])
    assert [model.branch for model in alike] == (
        ["ema", "untrained", "pixels", "pixels", "online", "ema", "untrained"]
    )
    data = {id(run): "a", id(other): "b"}
    apart = models.beside_baselines([run, other], data=lambda model: data[id(model)])
    assert len([*apart]) == 6

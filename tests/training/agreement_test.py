"""What cannot train is refused by its sizes, before anything is traced or compiled."""

import time
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import agreement, assemble
from m3i_jax.training.config import Config


def refused(config):
    with pytest.raises(ConfigError) as error:
        assemble.check(config)
    return str(error.value)


@pytest.mark.parametrize(
    "method, changes, sentence",
    [
        # 2 x 2 cells at 16 pixels.
        ("mae", {"objective.hidden": 0}, "hidden is 0, expected more than 0 and less than 1"),
        ("mae", {"objective.hidden": 1.0}, "a mask that hides nothing, or all, is none"),
        ("mae", {"objective.hidden": 1.5}, "hidden is 1.5, expected"),
        ("mae", {"objective.hidden": 0.01}, "hides 0 of 4 cells at hidden = 0.01"),
        ("mae", {"objective.hidden": 0.99}, "hides 4 of 4 cells at hidden = 0.99"),
        ("siamese_im", {"objective.hidden": 0.1}, "hides 0 of 4 cells"),
        ("msn", {"objective.hidden": 0.8}, "hides 4 of 4 cells"),
        ("m3i", {"objective.hidden": 0.1}, "the mask of view 'mix' hides 0 of 4 cells"),
        ("cim", {"objective.hidden": 0.01}, "the mask of code 'guess' hides 0 of 16 cells"),
        ("simmim", {"image": 20}, "units of 2x2 cells do not divide a grid of 5x5"),
        ("simmim", {"objective.unit": 2, "objective.hidden": 0.9}, "hides 16 of 16 cells"),
    ],
)
def test_a_mask_that_hides_nothing_or_all_is_refused(method, changes, sentence, shrunk):
    assert sentence in refused(shrunk(method, **changes))


def test_what_is_hidden_of_one_image_more_than_of_another_is_not_dropped(shrunk):
    sentence = refused(shrunk("ibot", **{"encoder.hide": "drop"}))
    assert "cannot be dropped; set config.encoder.hide='mask'" in sentence


@pytest.mark.parametrize("tensor", [2, -1])
def test_layers_that_the_compiler_would_split_by_itself_are_not_split(tensor, shrunk):
    mesh = {"data": -1 if tensor > 0 else 1, "fsdp": 1, "tensor": tensor}
    config = shrunk("simclr", mesh=mesh)
    assemble.check(config)
    config = replace(config, encoder={"name": "resnet50"}, image=32)
    found = refused(config)
    assert f"config.mesh.tensor is {tensor}" in found and "'resnet50', cannot be split" in found


def test_images_are_not_changed_by_rand_augment_twice(shrunk):
    config = shrunk("mae", **{"augment.a": {"rand_augment": {"magnitude": 5.0}}})
    assemble.check(config)
    both = {"augment.a": {"rand_augment": {}}, "crops.rand_augment": {}}
    sentence = refused(shrunk("mae", **both))
    assert "config.augment.a.rand_augment would change every image" in sentence


def test_a_detector_learns_from_one_image(shrunk):
    """How many objects the others have decides what it counts, and there need be no other."""
    assemble.check(shrunk("detection", **{"batch": 1, "mesh": dict(data=1, tensor=8)}))


@pytest.mark.parametrize(
    "method, changes, sentence",
    [
        ("m3i", {"batch": 1}, "which a batch of 1 cannot give; expected 2 or more"),
        ("mixed_classification", {"batch": 1}, "which a batch of 1 cannot give"),
        ("m3i", {"objective.mix_group": 1}, "groups of 1 cannot give"),
        ("m3i", {"objective.mix_group": 3}, "groups of 3 cannot give"),
        (
            "simclr",
            {"batch": 1},
            "contrasts each image with the others of the batch, but",
        ),
        ("clip", {"batch": 1}, "but the batch is 1"),
        # A batch norm of one row is 0 whatever the row.
        ("byol", {"batch": 1}, "normalises over the batch, which has one row"),
        ("msn", {"batch": 1}, "config.decoders.projector normalises over the batch"),
        ("vq_kd", {"objective.vocabulary": 33}, "'codebook' starts at 33 of the tokens of a batch"),
    ],
)
def test_a_batch_that_is_too_small_is_refused(method, changes, sentence, shrunk):
    assert sentence in refused(shrunk(method, **changes, mesh=dict(data=1, tensor=8)))


@pytest.mark.parametrize(
    "method, changes, sentence",
    [
        ("data2vec", {"objective.layers": 3}, "made of the last 3 blocks of 'image', which has 2"),
        ("dino", {"crops.local_size": 12}, "local_size is 12, which is not divisible by 8"),
        ("mae", {"encoder.image": 32}, "made for images of 32x32 pixels, but config.image is 16"),
        (
            "mae",
            {"crops": {"name": "person", "width": 24}},
            "but views are 16x24, as config.crops.width says: config.encoder.image=(16, 24)",
        ),
        ("mae", {"augment.aa": {"blur": 0.5}}, "config.augment has no view 'aa'"),
        ("mae", {"average.schedule": "cosin"}, "did you mean 'cosine'"),
        (
            "mae",
            {"average.momentum": 2.0},
            "average.momentum is 2.0, expected 0 or more and",
        ),
        (
            "byol",
            {"augment.a": dict(exclusive=True, blur=0.9, grayscale=0.9)},
            "config.augment.a: at most one of grayscale, blur and solarize needs probabilities",
        ),
        ("mae", {"warmup": "13 steps", "epoch_size": 8}, "a warm-up of 13 steps is longer than"),
        (
            "mae",
            {"duration": "1e300 epochs", "epoch_size": 8},
            "expected at most 2147483647",
        ),
        ("mae", {"optimizer.schedule": "cosin"}, "did you mean 'cosine'"),
        ("mae", {"optimizer.freeze": "("}, "is not a pattern"),
        ("mae", {"optimizer.base_lr": 1.0}, "got both"),
        (
            "dino",
            {"target.heads": []},
            "compares 32 dimensions of 'image/projector/prototypes'",
        ),
        ("moco", {"target": {"name": "pixels"}}, "and 192 dimensions of 'image': give both the"),
        (
            "mae_clip",
            {"objective.weights": {"mae": 0.0, "clip": 0.0}},
            "none with a weight above",
        ),
        (
            "vq_kd",
            {"weights.techer": {"path": "x"}},
            "'techer'; did you mean 'teacher'",
        ),
        (
            "mae",
            {"weights.teacher": {"path": "x"}},
            "has 'teacher'; there are: none",
        ),
        ("m3i", {"captions.length": 20}, "but config.towers.text.length is 16"),
        ("mae", {"average.end": 0.1}, "average.end is 0.1, expected 0.5 to 1"),
        ("mae", {"average": {"momentum": 0.99, "end": 0.9}}, "not from 0.99 to 0.9"),
        ("moco", {"target.end": 0.6}, "config.objective.target: the momentum of a moving average"),
        ("mae", {"average": {"momentum": 1.0}}, "average.momentum is 1.0, expected 0 or more and"),
        ("dino", {"crops.local_size": 24}, "local_size is 24, but these crops are the small ones"),
        ("cim", {"objective.weight": 1e-300}, "objective.weight is 1e-300, expected 1e-06 to"),
        ("mae", {"encoder.layer_scale": 1e-300}, "layer_scale is 1e-300, expected 1e-09 to"),
        ("m3i", {"target": {"name": "pixels", "tower": "text"}}, "patches of a tower, but 'text'"),
        (
            "m3i",
            {"target": {"name": "ema", "tower": "category"}},
            "view 'a' to tower 'category', which is of kind 'table', expected 'image'",
        ),
        (
            "vq_kd",
            {"target": {"name": "frozen", "tower": "image"}, "weights": {}},
            "trains tower 'image', which another code freezes",
        ),
        ("mae", {"duration": "0 steps", "warmup": "0 steps"}, "a run of 0 steps"),
        ("mae", {"duration": "0 epochs"}, "a run of 0 steps"),
        ("mae", {"warmup": "13 steps"}, "a warm-up of 13 steps is longer than the run of 12"),
        ("mae", {"objective.target": {"name": "ema"}}, "config.target both name a target"),
        ("mae", {"target": {}, "objective.target": "ema"}, "objective.target is 'ema', expected"),
        (
            "mae",
            {"target": {}, "objective.target": ""},
            "config.objective.target is '', expected a",
        ),
        (
            "mixed_classification",
            {"objective.per": "rwo"},
            "expected one of batch, row; did you mean 'row'?",
        ),
        ("dino", {"decoders.prototypes.out": 1}, "out is 1, expected 2 to"),
        ("classification", {"towers.category.size": 1}, "size is 1, expected 2 to"),
        (
            "mae",
            {"monitor": {"every": 4, "size": 10}},
            "monitor.size is 10, which is not divisible",
        ),
        ("mae", {"average.tower": "imag"}, "config.average has no key 'tower'"),
        ("mae", {"average.heads": "x"}, "config.average has no key 'heads'"),
        ("mae", {"encoder.normalization": [[0.5] * 3, [1e-30] * 3]}, "expected 0.0001 to 10"),
        ("moco", {"objective.size": 10**9}, "objective.size is 1000000000, expected 1 to 4194304"),
        ("m3i", {"weighting.balanced": []}, "'ssp' is balanced by other groups, not by []"),
        ("m3i", {"weighting.balanced": "ssp"}, "'ssp' is balanced by other groups, not by 'ssp'"),
        (
            "mae_clip",
            {"weighting": {"name": "scheduled", "groups": {"mae": (0, 0), "clip": (0, 0)}}},
            "config.weighting gives every group the weight 0",
        ),
        ("mae_clip", {"objective.methods": {"a/b": {"name": "mae"}}}, "methods has the name 'a/b'"),
        ("mae", {"encoder.mlp_ratio": 0.001}, "mlp_ratio 0.001 leaves no hidden layer at width 64"),
    ],
)
def test_what_does_not_meet_is_refused(method, changes, sentence, shrunk):
    assert sentence in refused(shrunk(method, **changes))


@pytest.mark.parametrize("objective", ["classification", "mixed_classification"])
def test_running_statistics_are_of_one_term(objective, shrunk):
    """Both images of a mix ask the classifier, which would move them twice."""
    head = dict(name="pooled", norm="running")
    plain = shrunk("classification", **{"decoders.category": head}).to_dict()
    config = Config.of(plain | {"objective": {"name": objective}})
    if objective == "classification":
        assemble.check(config)
    else:
        assert "'running', whose statistics move once in a step" in refused(config)


def test_captions_have_readers_of_some_sizes():
    config = SimpleNamespace(decoders={"told": {"name": "caption"}, "text": {"name": "linear"}})
    tower = {"token_embed": np.zeros((9, 4)), "pos_embed": np.zeros((7, 4))}
    head = {"head": {"bias": np.zeros(5)}, "pos_embed": np.zeros((6, 4))}
    params = {"encoders": {"text": tower}, "decoders": {"told": head}}
    assert list(agreement.readers(config, params)) == [
        dict(vocabulary=9, length=7),
        dict(vocabulary=5, length=6,
             said_by=("config.objective.words", "config.decoders.told.length")),
    ]  # fmt: skip


def test_positives_by_category_want_two_of_them(shrunk):
    check = lambda count: agreement.check_categories(  # noqa: E731
        shrunk("supcon"), count, check=assemble.check
    )
    check(2)
    with pytest.raises(ConfigError, match="the data set has 1 of them, expected 2 or more"):
        check(1)


def test_every_method_passes_as_it_is(any_method, shrunk):
    assemble.check(shrunk(any_method))


@pytest.mark.parametrize(
    "method, changes",
    [
        ("dino", {"objective.local": 64}),
        ("msn", {"objective.local": 64, "objective.sinkhorn": 100}),
        ("mae", {"encoder.depth": 1000, "image": 1024}),
        ("simclr", {"encoder.width": 2**17, "decoders.projector.hidden": 2**17}),
        ("moco", {"objective.size": 2**31 - 1}),
        ("mae", {"batch": 2**20, "duration": "1e9 epochs", "epoch_size": 2**20}),
    ],
)
def test_the_check_of_the_largest_values_takes_no_time(method, changes, shrunk):
    config, start = shrunk(method, **changes), time.process_time()
    try:
        assemble.check(config)
    except ConfigError:
        pass
    assert time.process_time() - start < 2


def test_a_step_that_cannot_be_traced_is_a_sentence():
    def failing(error):
        def step(x):
            raise error

        return agreement.explained(step)

    for error in (ValueError("3 is not 4"), TypeError("no shape"), KeyError("pooled")):
        with pytest.raises(ConfigError, match="the parts of this config do not go together"):
            jax.eval_shape(failing(error), jax.ShapeDtypeStruct((), "float32"))
    with pytest.raises(ConfigError, match="^as it is$"):
        failing(ConfigError("as it is"))(0)
    assert agreement.explained(lambda x: x + 1)(1) == 2

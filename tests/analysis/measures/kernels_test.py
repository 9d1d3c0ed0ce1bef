"""The measures of a RepLKNet are those of its merged kernels, at the strides of its stages."""

import numpy as np
import pytest

from m3i_jax import analysis
from m3i_jax.analysis import kernels, measures, run
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.nn.large_kernel import merge
from tests.evaluation import toy_models

DATA = datasets.of_run(toy_models.of_config("mae"))
BLOCK = dict(name="replknet_nano")


def found(model, tmp_path, **settings):
    names = ("kernel_distance", "kernel_entropy", "kernel_divergence")
    asked = measures.create([{"name": name, **settings} for name in names])
    return list(run.analyzed(asked, [model], on=[DATA], place=tmp_path, quiet=True))


@pytest.mark.parametrize("normalize", kernels.NORMALIZATIONS)
def test_numbers_of_every_channel(normalize, tmp_path):
    model = models.fresh(BLOCK)
    merged = merge(model.params["encoders"]["image"])
    weights = [
        kernels.NORMALIZATIONS[normalize](np.float32(stage[:, :, 0]).transpose(2, 0, 1))
        for name in ("stages_0", "stages_1")
        for stage in merged[name]["blocks"]["large"]["conv"]["kernel"]
    ]
    distance, entropy, divergence = found(model, tmp_path, normalize=normalize)
    for block, (one, stride) in enumerate(zip(weights, (4, 4, 8, 8), strict=True)):
        of_channels = analysis.kernel_distance(one, stride=stride)
        np.testing.assert_allclose(distance.values["heads"][block], of_channels, rtol=1e-5)
        got = entropy.values["heads"][block]
        np.testing.assert_allclose(got, analysis.kernel_entropy(one), rtol=1e-5)
        got = divergence.values["heads"][block]
        np.testing.assert_allclose(got, analysis.kernel_divergence(one), rtol=1e-5)
    assert distance.labels == {"blocks": ["1.1", "1.2", "2.1", "2.2"]}
    assert distance.unit == "pixels" and distance.protocol == {"normalize": normalize}


def test_a_merged_file_has_the_same_kernels(tmp_path):
    model = models.fresh(BLOCK)
    merged = {"encoders": {"image": merge(model.params["encoders"]["image"])}, "decoders": {}}
    block = BLOCK | {"merged": True}
    other = models.of_block(block, params=merged, name="merged", branch="file")
    for one, two in zip(found(model, tmp_path), found(other, tmp_path), strict=True):
        for mine, theirs in zip(one.values["heads"], two.values["heads"], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_other_convolutions_have_none(tmp_path, caplog):
    with pytest.raises(NotMeasurable, match="nothing to show"):
        found(models.fresh(dict(name="resnet_nano")), tmp_path)
    assert "is a ResNet; large kernels are those of a RepLKNet" in caplog.text

"""A picture of rollouts, of encoders that attend over whole images."""

import pytest

from m3i_jax.analysis import measures, run
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models

DATA = datasets.of_run(toy_models.of_config("mae"))
SWIN = dict(name="swin_v2_t", image=64, width=8, depths=(1, 2), heads=(1, 2), window=5)


@pytest.mark.parametrize("class_token", [True, False])
def test_one_picture_of_all_images(class_token, tmp_path):
    block = dict(name="vit_nano", image=32, width=16, depth=2, heads=2, class_token=class_token)
    block |= dict(registers=2 * class_token)
    asked = measures.create([{"name": "rollout", "count": 3}])
    (one,) = run.analyzed(asked, [models.fresh(block)], on=[DATA], place=tmp_path, quiet=True)
    ((_, name),) = one.pictures
    assert one.counts == {"test": 3} and (tmp_path / "analysis" / name).exists()


def test_windows_and_convolutions_have_none(tmp_path, caplog):
    for block in (SWIN, dict(name="resnet_nano")):
        with pytest.raises(NotMeasurable, match="nothing to show"):
            asked = measures.create([{"name": "rollout"}])
            list(run.analyzed(asked, [models.fresh(block)], on=[DATA], place=tmp_path, quiet=True))
    assert caplog.text.count("over whole images, a ViT's") == 2

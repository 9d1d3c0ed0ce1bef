"""What decides a validation, of methods alone: a config is refused before any data are opened."""

import pytest

from m3i_jax import methods
from m3i_jax.build import ConfigError
from m3i_jax.training import agreement, deciding
from m3i_jax.training.assemble import objective


def test_what_heads_say_decides_and_by_which_measures():
    boxes, masks = (methods.mask_rcnn(masks=masks) for masks in (False, True))
    assert deciding.measures(boxes, "objects") == (
        "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
        "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large",
    )  # fmt: skip
    assert "mask_ap" in deciding.measures(masks, "objects")
    tracker = methods.swin_track()
    assert tracker.annotations == ("objects",) and tracker.says("objects") == "track"
    assert deciding.measures(tracker, "track")[0] == "ao"
    assert boxes.says("objects") == "objects" and methods.depth().says("depth") == "depth"


@pytest.mark.parametrize(
    "name, block, said",
    [
        ("detection", {"metric": "mask_ap"}, "mask_ap, which says nothing of .* ap, ap50"),
        ("swin_track", {"metric": "ap"}, "ap, which says nothing of .* of that are ao, sr50"),
        ("detection", {"metric": "ao"}, "ao, which says nothing of objective 'mask_rcnn'"),
        ("detection", {"branch": "ema"}, "set config.average.head=True"),
        ("mae", {"every": "1 epochs"}, "has no classifier and no dense head"),
    ],
)
def test_what_says_nothing_of_a_method_is_refused(shrunk, name, block, said):
    config = shrunk(name, validation=block)
    with pytest.raises(ConfigError, match=said):
        deciding.decisive(config, objective(config))


def test_a_config_is_refused_with_its_parts(shrunk, monkeypatch):
    """By the one that all parts of a run are held against, in front of any data."""
    config = shrunk("detection", validation={"metric": "mask_ap"})
    for name in vars(agreement).copy():
        if name.startswith("_check_"):
            monkeypatch.setattr(agreement, name, lambda *parts: None)
    with pytest.raises(ConfigError, match="mask_ap"):
        agreement.check(config, objective(config), None)
    for metric in ("ap", None):
        config = shrunk("detection", validation={"metric": metric})
        agreement.check(config, objective(config), None)
        assert deciding.decisive(config, objective(config)) == "objects"

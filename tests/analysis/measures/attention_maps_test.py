"""Pictures have a row for each query, and a map for each block and head."""

import pytest
from PIL import Image

from m3i_jax.analysis import measures, run
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models

DATA = datasets.of_run(toy_models.of_config("mae"))
VIT = dict(name="vit_nano", image=32, width=16, depth=6, heads=2, patch=8)
SWIN = dict(name="swin_v2_t", image=64, width=8, depths=(1, 2), heads=(1, 2), window=5)
TILE, LINE = 128 + 8, 18


def pictures(block, tmp_path, **settings):
    """(height, width) of each picture."""
    asked = measures.create([{"name": "attention_maps", **settings}])
    (one,) = run.analyzed(asked, [models.fresh(block)], on=[DATA], place=tmp_path, quiet=True)
    assert one.form == "pictures" and one.counts == {"test": len(one.pictures)}
    return [Image.open(tmp_path / "analysis" / name).size[::-1] for _, name in one.pictures]


def of(rows, columns):
    return 8 + rows * (TILE + LINE), 8 + columns * TILE


def test_class_token_and_centre_in_four_blocks(tmp_path):
    assert pictures(VIT, tmp_path, count=2) == [of(2, 5)] * 2


def test_each_head_of_chosen_blocks_for_chosen_cells(tmp_path):
    how = dict(count=1, heads="each", blocks=(6, 2), at=(0.1, 0.2, 0.9, 0.9), class_token=False)
    assert pictures(VIT, tmp_path, **how) == [of(2, 1 + 2 * 2)]


def test_windows_have_no_class_token(tmp_path):
    assert pictures(SWIN, tmp_path, count=1) == [of(1, 4)]


def test_what_cannot_be_shown_is_said(tmp_path, caplog):
    with pytest.raises(ConfigError, match="expected pairs of how far down and right"):
        measures.create([{"name": "attention_maps", "at": (0.5,)}])
    with pytest.raises(NotMeasurable, match="nothing to show"):
        asked = measures.create([{"name": "attention_maps", "blocks": (7,)}])
        list(run.analyzed(asked, [models.fresh(VIT)], on=[DATA], place=tmp_path, quiet=True))
    assert "no block 7; its blocks are 1 to 6" in caplog.text

"""All points of a grid, their configs, and the one that is chosen."""

import json

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import grid_search as grid

CONFIG = {
    "data": {"name": "fashion_mnist", "root": "there"},
    "optimizer": {"name": "adamw", "lr": 1e-3, "layer_decay": 0.65},
    "validation": {"every": "1 epochs"},
}


def test_points_are_all_combinations():
    found = grid.points({"lr": (1e-4, 1e-3), "layer_decay": [0.75, 0.85, 0.95]})
    assert [tuple(p.settings.values()) for p in found] == [
        (1e-4, 0.75), (1e-4, 0.85), (1e-4, 0.95), (1e-3, 0.75), (1e-3, 0.85), (1e-3, 0.95)
    ]  # fmt: skip
    assert found[0].name == "lr_0.0001-layer_decay_0.75"
    assert found[0].others() == {"layer_decay": 0.75}
    assert len({p.name for p in found}) == 6
    (one,) = grid.points({"weight_decay": 0})
    assert one.settings == {"weight_decay": 0}


@pytest.mark.parametrize("axes", [{}, {"lr": ()}, {"lr": "high"}, {"lr": (1e-3, True)}])
def test_no_grid_is_a_sentence(axes):
    with pytest.raises(ConfigError, match="--grid"):
        grid.points(axes)


def test_a_points_run_reads_no_test_split_and_is_otherwise_as_said():
    (point,) = grid.points({"lr": 1e-2, "layer_decay": 0.9})
    made = grid.searching(CONFIG, point, 0.2)
    assert made["data"] == {"name": "held_out", "of": CONFIG["data"], "share": 0.2}
    # The rate is where the config is made, which also knows how it ends.
    assert made["optimizer"] == {"name": "adamw", "lr": 1e-3, "layer_decay": 0.9}
    assert made["validation"] == {"every": "1 epochs", "predictions": "none"}
    assert CONFIG["optimizer"]["layer_decay"] == 0.65


def test_the_best_is_the_first_of_the_highest_and_written_down(tmp_path):
    points = grid.points({"lr": (1e-4, 1e-3, 1e-2)})
    chosen = grid.best(points, [0.5, 0.75, 0.75])
    assert chosen is points[1]
    grid.write(tmp_path, points, [0.5, 0.75, 0.75], chosen)
    said = json.loads((tmp_path / "grid.json").read_text())
    assert said["chosen"] == {"lr": 1e-3}
    assert said["points"][2] == {"lr": 1e-2, "value": 0.75}
    (tmp_path / "best.json").write_text(
        '{"step": 3, "metric": "validation/online/top1", "value": 0.25}'
    )
    assert grid.accuracy(tmp_path) == 0.25
    (tmp_path / "best.json").write_text('{"metric": "validation/online/rmse", "value": 0.25}')
    assert grid.accuracy(tmp_path) == -0.25, "less of an error is better"

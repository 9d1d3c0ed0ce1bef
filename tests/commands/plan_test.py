"""A plan is printed, or refused in a sentence."""

from m3i_jax import cli
from m3i_jax.training import unused
from m3i_jax.training.assemble import check
from m3i_jax.training.config import Config
from m3i_jax.training.planning import plan
from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "--devices is 0" in refused("plan", "--devices=0", tmp_path)


def test_it_says_what_a_start_would_warn_of(tmp_path):
    """Sentence for sentence as a start does; weights that are not there yet refuse nothing."""
    data = cli.load("digit_scenes/feature_distillation").to_dict()
    data["towers"]["idle"] = {"name": "vit_nano"}
    data["captions"] = {"length": 24}
    data["weights"]["teacher"]["path"] = str(tmp_path / "not there")
    data["init_from"] = {"path": str(tmp_path / "nor this")}
    config = Config.of(data)
    found = [*plan.doubts(config)]
    told = unused.sentences(config, check(config).method)
    assert len(told) == 2 and found[:2] == told
    teacher, origin = found[2:]
    assert teacher.startswith(f"config.weights.teacher.path: there are no weights at '{tmp_path}")
    assert origin.startswith("config.init_from.path: ") and "nor this" in origin
    data["weights"] = {}
    assert any("set config.weights.teacher.path" in s for s in plan.doubts(Config.of(data)))
    assert not [*plan.doubts(Config.of(cli.load("digit_scenes/mae")))]

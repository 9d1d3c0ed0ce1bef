"""What is said of a run before it compiles is what it is."""

import jax

from m3i_jax import cli, data
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops
from m3i_jax.training.planning.outlook import outlook, short


def test_figures_are_those_of_the_run(tmp_path):
    plain = cli.load("digit_scenes/classification").to_dict()
    plain |= {"encoder": {"name": "vit_nano", "patch": 8, "depth": 1}, "duration": "90 steps"}
    plain["warmup"] = "0 steps"
    run = assemble(Config.of(plain), images=40)
    source = data.source({"name": "digit_scenes", "length": 40}, split="train")
    with jax.set_mesh(run.mesh):
        said = outlook(run, source, tmp_path, start=30, advance=run.compiled())
        counted = flops.count(run.step(), run.abstract, run.batch_shape())
    assert "40 to train on, 10 classes, 40 with a label" in said
    assert "30 to 90, of 64 images: 3840 in all, 96 passes" in said
    assert f"{short(counted / 64)}FLOP an image" in said and f"{tmp_path}/report.html" in said
    trained = sum(x.size for x in jax.tree.leaves(run.abstract.params))
    assert f"{short(trained)} parameters" in said


def test_numbers_are_short():
    assert [short(x) for x in (0, 999, 1000, 1_234_567)] == ["0 ", "999 ", "1 k", "1.23 M"]

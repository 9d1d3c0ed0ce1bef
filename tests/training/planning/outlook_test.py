"""What is said of a run before it compiles is what it is."""

from types import SimpleNamespace

import jax

from m3i_jax import cli, data
from m3i_jax.checkpoints import storage
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops, room
from m3i_jax.training.planning.outlook import needs, outlook, short


def test_figures_are_those_of_the_run(tmp_path, monkeypatch):
    plain = cli.load("digit_scenes/classification").to_dict()
    plain |= {"encoder": {"name": "vit_nano", "patch": 8, "depth": 1}, "duration": "90 steps"}
    plain["warmup"] = "0 steps"
    run = assemble(Config.of(plain), images=40)
    monkeypatch.setattr(storage, "free", lambda path: 5e9)
    source = data.source({"name": "digit_scenes", "length": 40}, split="train")
    said = outlook(run, source, tmp_path, start=30)
    assert "40 to train on, 10 classes, 40 with a label" in said
    assert "30 to 90, of 64 images: 3840 in all, 96 passes" in said
    trained = sum(x.size for x in jax.tree.leaves(run.abstract.params))
    assert f"{short(trained)} parameters" in said and f"{tmp_path}/report.html" in said
    assert f"of about {short(room.checkpoint(run))}B; 5 GB are free" in said
    assert "time        no such steps have been made here yet; the line of progress" in said
    assert "; of 40 images, so each is 1.6 times in a batch" in said
    said = outlook(run, source, tmp_path, start=30, rate=12.0)
    assert "time        5m 00s of steps, monitors and checkpoints, as they took here before" in said
    with monkeypatch.context() as several:
        several.setattr(jax, "process_count", lambda: 2)
        assert " of 2 processes, " in outlook(run, source, tmp_path, start=30)
    said = outlook(run, source, tmp_path, start=0, length="4 minutes")
    assert "processes" not in said
    assert "as many of 64 images as 4 minutes hold" in said and "90" not in said

    with jax.set_mesh(run.mesh):
        traced = run.compiled().trace(jax.tree.leaves(run.abstract), run.batch_shape())
        counted = flops.count(run.step(), run.abstract, run.batch_shape())
    said = needs(run, Program(), traced, steps=60)
    assert f"{short(counted / 64)}FLOP an image, {short(60 * counted)}FLOP in all" in said
    assert said.endswith("; 3.21 kB of memory at most")  # 1000 + 2000 + 300 − 90


class Program:
    """As JAX describes a compiled one."""

    def memory_analysis(self):
        return SimpleNamespace(
            argument_size_in_bytes=1000,
            output_size_in_bytes=300,
            alias_size_in_bytes=90,
            temp_size_in_bytes=2000,
        )


def test_numbers_are_short():
    assert [short(x) for x in (0, 999, 1000, 1_234_567)] == ["0 ", "999 ", "1 k", "1.23 M"]

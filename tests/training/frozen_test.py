"""Frozen towers: weights from a run, as state, exact, and refused where they are not theirs."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.interop import layouts
from m3i_jax.interop.rename import to_theirs
from m3i_jax.training import frozen, schema
from m3i_jax.training.assemble import Run, assemble
from m3i_jax.training.session import train


@pytest.fixture(scope="module")
def teacher(shrunk, tmp_path_factory, one_device):
    """A work directory with a sealed first state of a supervised run, and that state."""
    mesh, device = one_device
    run = assemble(shrunk("classification", mesh=mesh), images=100, devices=device)
    state, path = run.create(), tmp_path_factory.mktemp("teacher")
    with Checkpoints(path / "checkpoints") as kept:
        kept.save(3, state.items(), {"config": run.config.to_dict()}, wait=True)
    return path, state


def filled(run):
    return frozen.fill(run, run.create(), frozen.find(run))


def distilled(shrunk, one_device, path, **changes):
    mesh, device = one_device
    block = {"weights.teacher": {"path": str(path)}}
    config = shrunk("feature_distillation", mesh=mesh, **block, **changes)
    return assemble(config, images=100, devices=device)


def test_a_teacher_is_loaded_to_the_bit_and_is_not_trained(shrunk, one_device, teacher):
    path, source = teacher
    run = distilled(shrunk, one_device, path, seed=1)
    frozen.check(run.config, run.method)
    state = filled(run)
    found = state.slots["frozen/teacher"]["encoders"]["teacher"]
    jax.tree.map(np.testing.assert_array_equal, found, source.params["encoders"]["image"])
    assert "teacher" not in state.params["encoders"]
    moments = jax.tree_util.tree_leaves_with_path(state.optimizer)
    assert not any("teacher" in jax.tree_util.keystr(p) for p, _ in moments)


def test_random_weights_have_to_be_asked_for(shrunk, one_device, teacher):
    run = distilled(shrunk, one_device, frozen.UNTRAINED)
    state = run.create()
    assert frozen.find(run) == {}
    assert frozen.fill(run, state, {}).slots["frozen/teacher"] is state.slots["frozen/teacher"]


def test_missing_and_unknown_weights_are_named(shrunk, one_device, teacher):
    run = distilled(shrunk, one_device, teacher[0])
    config = shrunk("feature_distillation", weights={})
    with pytest.raises(ConfigError, match="set config.weights.teacher.path"):
        frozen.check(config, run.method)
    with pytest.raises(ConfigError, match="config.weights has 'techer'"):
        assemble(shrunk("mae", weights={"techer": {"path": "x"}}), images=100)
    config = shrunk("feature_distillation", weights={"teacher": {"pth": "x"}})
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        schema.check(config)


def test_a_teacher_of_another_shape_is_refused(shrunk, one_device, teacher):
    run = distilled(shrunk, one_device, teacher[0], **{"towers.teacher.width": 32})
    with pytest.raises(ConfigError, match="does not fit this run"):
        frozen.find(run)


def test_weights_of_another_shape_are_found_before_anything_compiles(shrunk, teacher, tmp_path):
    """Of a run and of a file: both shapes, which parameter, and where it lies."""
    path, state = teacher
    flat = {p: np.asarray(x) for p, x in trees.named_leaves(state.params["encoders"]["image"])}
    save_file({f"encoders/image/{p}": x for p, x in flat.items()}, tmp_path / "w.safetensors")
    table = flat["patch_embed/kernel"].shape
    other = (*table[:-1], 32)
    for where in (path, tmp_path / "w.safetensors"):
        config = shrunk(
            "feature_distillation",
            **{"weights.teacher": {"path": str(where)}, "towers.teacher.width": 32},
        )

        def never(self):
            raise AssertionError("the first state was compiled")

        with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as met:
            patch.setattr(Run, "create", never)
            train(config, tmp_path / "run")
        said = str(met.value)
        assert str(where) in said and "patch_embed/kernel" in said and "\n" not in said
        assert str(table) in said or str(list(table)) in said, said
        assert str(other) in said or str(list(other)) in said, said


def test_a_teacher_comes_from_a_file_of_clip(shrunk, one_device, tmp_path):
    """Encoder and projection, the positions for the images of this run."""
    fields = {"positions": "learned", "patch_bias": False, "pre_norm": True, "patch": 8}
    fields = {f"towers.teacher.{k}": v for k, v in fields.items()}
    path = tmp_path / "clip.safetensors"
    run = distilled(shrunk, one_device, path, **fields)
    wanted = run.abstract.slots["frozen/teacher"]["encoders"]["teacher"]
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), wanted)
    flat = {f"encoders/image/{path}": x for path, x in trees.named_leaves(drawn)}
    state, unknown = to_theirs(flat, layouts.lookup("clip"))
    assert not unknown
    save_file(state, path)
    found = filled(run).slots["frozen/teacher"]["encoders"]["teacher"]
    jax.tree.map(np.testing.assert_array_equal, found, drawn)
    save_file(state | {"visual.positional_embedding": np.zeros((17, 64), np.float32)}, path)
    moved = filled(run).slots["frozen/teacher"]["encoders"]["teacher"]
    assert moved["pos_embed"].shape == (1, 5, 64)

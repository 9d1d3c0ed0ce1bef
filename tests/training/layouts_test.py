"""One step, however the arrays of a run lie on eight devices."""

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import assemble, check, finish
from m3i_jax.training.planning.plan import of_state
from m3i_jax.training.state import TrainState

WHOLE = {"data": 8}


@pytest.fixture(scope="module")
def stepped(shrunk, batch, fits):
    """stepped(mesh) -> (run, state behind two steps, metrics): a method with an averaged target."""

    def make(mesh):
        # Adam divides by the root of its second moment, which makes anything of a gradient that is
        # rounding; eps = 0.1 makes the step smooth in it.
        config = shrunk("data2vec", mesh=mesh, **{"optimizer.eps": 0.1})
        run = assemble(config, images=100)
        given = sharding.put(fits(run, batch), run.mesh)
        with jax.set_mesh(run.mesh):
            advance, leaves = run.compiled(), jax.tree.leaves(run.create())
            for _ in range(2):
                leaves, metrics = advance(leaves, given)
        state = jax.tree.unflatten(jax.tree.structure(run.abstract), leaves)
        return run, state, jax.device_get(metrics)

    return make


@pytest.fixture(scope="module")
def whole(stepped):
    return stepped(WHOLE)


def close(found, right, **how):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **how), *map(jax.device_get, (found, right))
    )


def test_zero1_splits_moments_and_average_and_changes_nothing_else(stepped, whole, tmp_path):
    run, state, _ = stepped(WHOLE | {"zero1": True})
    close(state, whole[1], rtol=1e-6, atol=1e-6)
    before, after = of_state(whole[0]), of_state(run)
    assert after["online"] == before["online"]
    # Small leaves stay whole, which are many here.
    assert after["optimizer"] < 0.6 * before["optimizer"] and after["EMA"] < 0.6 * before["EMA"]
    # Each goes on from the checkpoint of the other.
    for step, (source, target) in enumerate(((state, whole[0]), (whole[1], run)), 1):
        with Checkpoints(tmp_path / str(step)) as kept:
            kept.save(2, source.items(), {}, wait=True)
            wanted = sharding.abstract(target.abstract.items(), target.shardings.items())
            found = TrainState.of(kept.restore(wanted).items)
        jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, (found, source)))
        assert jax.tree.map(lambda x: x.sharding, found.optimizer) == target.shardings.optimizer


def test_weights_that_are_split_are_gathered_for_the_same_products(stepped, whole):
    rules = (("mlp/fc1/kernel$", "replicated"), ("mlp/fc", "largest"))  # the first counts
    run, state, _ = stepped({"fsdp": 4, "data": 2, "zero1": True, "rules": rules})
    close(state, whole[1], rtol=1e-6, atol=1e-6)
    block = run.shardings.params["encoders"]["image"]["blocks"]["mlp"]
    assert not any(block["fc1"]["kernel"].spec) and "fsdp" in block["fc2"]["kernel"].spec


def test_a_rule_of_no_path_is_refused(shrunk):
    parts = check(shrunk("data2vec", mesh=WHOLE | {"rules": (("mpl/fc1", "replicated"),)}))
    with pytest.raises(ConfigError, match=r"mesh\.rules has 'mpl/fc1', which no parameter's path"):
        finish(parts, images=100)

"""The package itself: cheap to import, lazy submodules."""

import subprocess
import sys

import pytest

import m3i_jax


def modules_after(statement):
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_is_nearly_free():
    loaded = modules_after("import m3i_jax")
    assert "m3i_jax" in loaded
    assert not {"jax", "numpy", "flax", "tensorflow", "torch"} & set(loaded)


def test_the_numerics_need_neither_flax_nor_optax():
    numerics = "losses, masks, mixing, normalize, geometry, augment, heatmaps, detection, metrics"
    loaded = modules_after(f"from m3i_jax import {numerics}")
    assert "jax" in loaded  # so the check above can fail
    assert not {"flax", "optax", "tensorflow", "torch"} & set(loaded)


def test_submodules_are_attributes():
    assert m3i_jax.losses.gaussian.__module__ == "m3i_jax.losses.prediction"
    assert set(m3i_jax.__all__) <= set(dir(m3i_jax))
    with pytest.raises(AttributeError, match="no attribute 'looses'"):
        m3i_jax.looses  # noqa: B018


@pytest.mark.parametrize("package", ["losses", "masks", "detection"])
def test_flat_lists_have_each_name_once_and_of_their_own_modules(package):
    module = getattr(m3i_jax, package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__module__.startswith(f"m3i_jax.{package}."), name
    assert package != "detection" or {"point_sample", "surest_box", "noised_objects"} <= {
        *module.__all__
    }


def test_version():
    assert m3i_jax.__version__ == "0.1.0"

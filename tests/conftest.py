"""Eight CPU devices, no silent rank promotion, and one compile cache for the whole run."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    # Tests run tiny programs once: half of their time would go into optimising machine code.
    + " --xla_backend_optimization_level=0"
)

import tempfile  # noqa: E402

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# The processes of a run, and the programs that tests start, compile each program once.
CACHE = os.path.join(tempfile.gettempdir(), f"m3i_jax_tests_{os.getuid()}")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])


@pytest.fixture
def key():
    return jax.random.key(0)


def pytest_addoption(parser):
    parser.addoption("--draws", type=int, default=300, help="configs that the fuzz test draws")

"""Eight CPU devices, no silent rank promotion, and one compile cache for the whole run."""

import gc
import importlib.metadata
import os
import tempfile

# The processes of a run share the cores: where a thread of NumPy's or PyTorch's linear algebra has
# no core, those that wait for it turn round and round, which took 30 times the work itself. Read
# when the libraries are imported, by the workers of a run and by the programs that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    # Tests run tiny programs once: half of their time would go into optimising machine code, and
    # half of the rest into loops that are written one by one, in 32 modules.
    + " --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)
if importlib.metadata.version("jaxlib") < "0.11":  # later ones know no other way
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
# The processes of a run, and the programs that tests start, compile each program once.
CACHE = os.path.join(tempfile.gettempdir(), f"m3i_jax_tests_{os.getuid()}")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests import contexts, draws, provoked, shapes  # noqa: E402

pytest_plugins = ["tests.toy_runs", "tests.toy_corruption", "tests.toy_workdir"]

jax.config.update("jax_numpy_rank_promotion", "raise")
shapes.install()  # before anything imports what it checks
provoked.install()
contexts.share()
# Tracing makes millions of objects and hardly a cycle: looking for those took a tenth of all time.
gc.set_threshold(200_000, 20, 20)
# Tests in which no dtype changes without saying so.
STRICT = (
    "augment detection framework geometry heatmaps losses masks methods metrics mixing normalize"
    " quantize"
).split()


def pytest_configure(config):
    config.pluginmanager.register(draws.Draws())


def pytest_collection_finish(session):
    """What has been imported and collected is never garbage, and is not looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def strict(request):
    """Refuses what promotes dtypes silently, of the packages in STRICT."""
    place = request.path.relative_to(request.config.rootpath / "tests").parts[0]
    promotion = "strict" if place.removesuffix("_test.py") in STRICT else "standard"
    with jax.numpy_dtype_promotion(promotion):
        yield


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def by_norm():
    """by_norm(found, right, limit): ‖found − right‖ ≤ limit · ‖right‖ for each leaf of two trees.

    Rounding is of the size of the numbers that were added, not of the one that came out: where an
    array's scale is 40, an element of it that is .01 cannot be right to 1e-5.
    """

    def check(found, right, limit):
        pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(right), strict=True)
        for (path, one), two in pairs:
            one, two = np.float64(one), np.float64(two)
            off, size = np.linalg.norm(one - two), np.linalg.norm(two)
            where = jax.tree_util.keystr(path)
            assert one.shape == two.shape and off <= limit * size, f"{where}: {off} of {size}"

    return check


def pytest_addoption(parser):
    parser.addoption("--draws", type=int, default=300, help="configs that the fuzz test draws")

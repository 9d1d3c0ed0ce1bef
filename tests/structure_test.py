"""The layers of the package: who may know whom, mirrored tests, lengths, docstrings, costs."""

import ast
import pathlib
import re
import subprocess
import sys
import tokenize
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "m3i_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Layers from the ground up: a package may import itself, and those of lower layers that are listed.
NUMERICS = "types build geometry ranges texts"
MAY_IMPORT = {
    "types": "",
    "ranges": "",
    "synonyms": "",
    "homes": "",
    "spelling": "synonyms homes",
    "texts": "spelling",
    "ordinary": "",
    "jsonfile": "ordinary",
    "build": "ranges spelling",
    "trees": "types",
    "shipped": "",
    "meanings": "",
    "usage": "meanings command_flags",
    "renamed": "build",
    "command_flags": "build ranges texts",
    "config_file": "build ranges spelling homes shipped renamed ordinary jsonfile",
    "cli": "build usage command_flags config_file",
    "geometry": "types ranges texts",
    "losses": NUMERICS + " normalize detection",
    "masks": NUMERICS,
    "histograms": NUMERICS + " normalize",
    "heatmaps": NUMERICS,
    "detection": NUMERICS,
    "mixing": NUMERICS,
    "normalize": NUMERICS,
    "quantize": NUMERICS + " normalize",
    "augment": NUMERICS,
    "metrics": NUMERICS + " normalize detection",
    "pictures": NUMERICS + " normalize ordinary",
    "plotting": "ordinary",
    "parallel": NUMERICS + " trees",
    "nn": NUMERICS + " parallel",
    "encoders": NUMERICS + " masks normalize parallel nn",
    "heads": NUMERICS + " detection nn",
    "decoders": NUMERICS + " masks parallel nn heads",
    "networks": NUMERICS + " nn encoders decoders",
    "framework": NUMERICS
    + " renamed trees histograms heatmaps detection losses masks mixing normalize metrics quantize"
    + " parallel",
    "methods": "types renamed build ranges texts geometry losses framework masks",
    "data": "types build ranges texts ordinary jsonfile augment",
    "interop": "types build ranges ordinary jsonfile trees geometry normalize nn encoders",
    "checkpoints": "types build ranges ordinary jsonfile trees parallel data interop",
    "training": NUMERICS
    + " trees ordinary jsonfile renamed meanings augment normalize metrics parallel"
    + " encoders decoders networks framework methods data interop checkpoints",
    "evaluation": NUMERICS
    + " trees ordinary jsonfile heatmaps detection normalize metrics parallel encoders networks"
    + " framework methods interop checkpoints training data",
    "analysis": NUMERICS
    + " trees ordinary jsonfile renamed meanings heatmaps detection normalize metrics quantize"
    + " pictures plotting parallel nn encoders networks framework checkpoints training data"
    + " evaluation",
    "studies": NUMERICS
    + " config_file ordinary jsonfile plotting methods training evaluation analysis",
    "commands": "types build ranges ordinary jsonfile shipped config_file cli command_flags"
    + " encoders decoders methods parallel data interop checkpoints training evaluation analysis"
    + " studies",
    "__main__": "build spelling",
}
ONLY_IN = {
    "flax": "nn encoders heads decoders networks training",
    "optax": "training evaluation",
    "orbax": "checkpoints",
    "grain": "data",
    "tensorflow_datasets": "data",
    "torch": "interop",
    "onnx": "interop",
    "sklearn": "data",
    "skimage": "data",
    "pyarrow": "data evaluation",
    "fsspec": "data",
    "simplejpeg": "data",
    "cykooz_resizer": "data",
    "cv2": "data",
    "faster_coco_eval": "metrics",
    "tensorflow": "",
    "wandb": "training",
    "mlflow": "training",
    "trackio": "training",
}
# What splits arrays over a mesh, and what asks other processes, is asked for there.
ONLY_PARALLEL = ("jax.experimental.multihost_utils", "jax.sharding", "jax.distributed")


def package(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported(path):
    """Dotted names that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "m3i_jax":
                yield from (f"m3i_jax.{alias.name}" for alias in node.names)
            else:
                yield node.module


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_arrows_point_down(path):
    here = package(path)
    if here == "__init__":
        return
    for module in imported(path):
        top, *rest = module.split(".")
        if top == "m3i_jax" and rest:
            allowed = {here, *MAY_IMPORT[here].split()}
            assert rest[0] in allowed, f"{name(path)} ({here}) may not know {module}"
        elif module in ONLY_PARALLEL:
            assert here == "parallel", f"{name(path)} ({here}) may not know {module}"
        elif top in ONLY_IN:
            assert here in ONLY_IN[top].split(), f"{name(path)} ({here}) may not know {top}"


def test_the_layers_have_no_circle():
    done = set()
    while remaining := [r for r in MAY_IMPORT if r not in done]:
        free = [r for r in remaining if set(MAY_IMPORT[r].split()) <= done]
        assert free, f"a circle among {remaining}"
        done |= set(free)


def _dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _above(module):
    """The packages that a module is in."""
    return {module[:i] for i, letter in enumerate(module) if letter == "."}


def _run_first(path, modules):
    """The package's modules that are run before the rest of a module, when it is the first of all.

    Packages that it is in have been begun before it, and count only where it asks for a name.
    """
    here, asked = _dotted(path), set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            asked |= {name if name in modules else node.module for name in full}
    return {y for x in asked & modules for y in {x} | (_above(x) - _above(here) - {here})}


def test_every_module_can_be_the_first_that_is_imported():
    modules = {_dotted(path) for path in MODULES}
    before = {_dotted(path): _run_first(path, modules) for path in MODULES}
    while free := [module for module, others in before.items() if not others & before.keys()]:
        before = {module: others for module, others in before.items() if module not in free}
    assert not before, f"a circle is among these, or behind them: {sorted(before)}"


def _plain_opens(code):
    """Lines where a path is opened or written without `ordinary`, which waits for no pipe."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            called, first = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""
            opened = "opened(" in first or first == "descriptor"
            if (called == "open" and not opened) or called.endswith(
                (".write_text", ".write_bytes")
            ):
                yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_files_are_opened_where_they_are_ordinary(path):
    if name(path) != "m3i_jax/evaluation/cache.py":  # in a folder that it has just made
        assert not [*_plain_opens(path.read_text())], f"{name(path)} opens what may be a pipe"


def test_the_check_of_opens_can_fail():
    assert [*_plain_opens("open(path)\nPath(p).write_text(x)\nopen(ordinary.opened(p, 0))")] == [
        1,
        2,
    ]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_has_its_test(path):
    if path.name == "__init__.py":
        return
    mirror = ROOT / "tests" / path.relative_to(PACKAGE).with_name(path.stem.strip("_") + "_test.py")
    assert mirror.exists(), f"{name(path)} has no {name(mirror)}"


@pytest.mark.parametrize("path", MODULES + sorted((ROOT / "experiments").glob("*.py")), ids=name)
def test_files_and_functions_fit(path):
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{name(path)} has {lines} lines, at most 400"
    for node in functions(path):
        length = node.end_lineno - node.lineno + 1
        assert length <= 60, f"{name(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_public_names_are_documented_and_called_alike(path):
    tree = ast.parse(path.read_text())
    said = ast.get_docstring(tree) or ""
    assert len(said) > 20 and "TODO" not in said, f"{name(path)} does not say what it is"
    assert path.stem not in ("utils", "misc", "common", "helpers")
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        assert ast.get_docstring(node), f"{name(path)}:{node.lineno} {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            free = package(path) in ("methods", "framework") or node.name in DEFAULTS
            assert free or not node.args.defaults, f"{name(path)}: {node.name} has a default"


# Where a reader needs to be told why; nanodo has 103 comment lines per 1000, diffrax 81.
HARD = [p for p in MODULES if package(p) in ("framework", "networks")] + [
    PACKAGE / "training/step.py"
]


def comments(path):
    """Lines that say something to a reader; what speaks to a linter does not count."""
    with path.open("rb") as file:
        found = [t for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT]
    return [t.string for t in found if not t.string.startswith(("# noqa", "# fmt", "# type"))]


def test_the_hard_part_says_why():
    said = sum(len(comments(path)) for path in HARD)
    lines = sum(path.read_text().count("\n") for path in HARD)
    assert 1000 * said >= 50 * lines, f"{said} comment lines in {lines}, at least 50 per 1000"


NUMERIC_PACKAGES = (
    "geometry losses masks mixing normalize quantize augment heatmaps detection"
).split()
# Anything with a default is keyword-only, but for the numbers of papers and these public names.
DEFAULTS = ("sliding_window", "mesh", "digit_scenes")


@pytest.mark.parametrize("path", [p for p in MODULES if package(p) in NUMERIC_PACKAGES], ids=name)
def test_the_key_comes_first(path):
    for node in functions(path):
        arguments = [a.arg for a in node.args.args + node.args.kwonlyargs]
        if "key" in arguments:
            assert arguments[0] == "key", f"{name(path)}: {node.name} takes its key later"


def modules_after(statement):
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return out.stdout


EVERYTHING = "import m3i_jax; [getattr(m3i_jax, n) for n in dir(m3i_jax)]"


def test_the_library_imports_neither_tensorflow_nor_torch():
    loaded = modules_after(EVERYTHING)
    assert '"jax"' in loaded
    for heavy in ("tensorflow", "torch", "sklearn", "matplotlib"):
        assert f'"{heavy}"' not in loaded


def test_the_import_check_can_fail():
    assert '"decimal"' in modules_after("import decimal")


def test_import_costs_little_beyond_jax():
    code = (
        "import time, jax, jax.numpy; t = time.perf_counter(); import m3i_jax;"
        "print(time.perf_counter() - t)"
    )
    again = lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: E731
    assert any(float(again().stdout) < 1.5 for _ in range(3)), "slow three times"


# How distributions are called whose modules have another name.
DISTRIBUTIONS = {
    "faster_coco_eval": "faster-coco-eval",
    "PIL": "pillow",
    "absl": "absl-py",
    "ml_collections": "ml-collections",
    "mlflow": "mlflow-skinny",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "tensorflow_datasets": "tensorflow-datasets",
}


def _names(requirements):
    return {re.match(r"[\w.-]+", one)[0] for one in requirements}


def test_tests_are_collected_without_the_libraries_that_only_parity_needs():
    """`.ci/versions` installs none of them; tests/engine is left out there by its conftest."""
    peers = {"torch", "torchvision", "transformers", "timm"}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if file.parent.name == "engine":
            continue
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = peers & {part for name in names for part in name.split(".")}
            assert not found, f"{file} imports {found}; pytest.importorskip skips it instead"


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = _names(project["dependencies"])
    extras = {name: _names(rows) for name, rows in project["optional-dependencies"].items()}
    tops = {module.split(".")[0] for path in MODULES for module in imported(path)}
    foreign = tops - sys.stdlib_module_names - {"m3i_jax"}
    used = {DISTRIBUTIONS.get(name, name) for name in foreign}
    assert needed <= used, f"nothing imports {needed - used}"
    optional = set().union(*extras.values()) - needed
    assert used <= needed | optional, f"not declared: {used - needed - optional}"
    assert extras["parquet"] | extras["onnx"] <= used  # scenes are imported by their names

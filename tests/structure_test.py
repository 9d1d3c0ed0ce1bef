"""The layers of the package: who may know whom, mirrored tests, lengths, docstrings, costs."""

import ast
import pathlib
import re
import subprocess
import sys
import tokenize
import tomllib
from typing import NamedTuple

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


class File(NamedTuple):
    """A file of Python: path, text, tree and all its nodes, of one reading for all laws."""

    path: pathlib.Path
    text: str
    tree: ast.Module
    nodes: list[ast.AST]


def read(path):
    text = path.read_text()
    tree = ast.parse(text)
    return File(path, text, tree, [*ast.walk(tree)])


def package(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported(nodes):
    """Dotted names that a module imports, wherever in the file."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "m3i_jax":
                yield from (f"m3i_jax.{alias.name}" for alias in node.names)
            else:
                yield node.module


def functions(file):
    return (node for node in file.nodes if isinstance(node, ast.FunctionDef))


def name(path):
    return str(path.relative_to(ROOT))


def arrows_point_down(file):
    here = package(file.path)
    if here == "__init__":
        return
    for module in imported(file.nodes):
        top, *rest = module.split(".")
        if top == "m3i_jax" and rest:
            known = rest[0] in {here, *MAY_IMPORT[here].split()}
        elif module in ONLY_PARALLEL:
            known = here == "parallel"
        else:
            known = top not in ONLY_IN or here in ONLY_IN[top].split()
        if not known:
            yield f"({here}) may not know {module}"


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


def opened_where_it_is_ordinary(file):
    """A path is opened or written by `ordinary`, which waits for no pipe."""
    if name(file.path) == "m3i_jax/evaluation/cache.py":  # in a folder that it has just made
        return
    for node in file.nodes:
        if isinstance(node, ast.Call):
            called, first = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""
            opened = "opened(" in first or first == "descriptor"
            if (called == "open" and not opened) or called.endswith(
                (".write_text", ".write_bytes")
            ):
                yield f":{node.lineno} opens what may be a pipe"


def has_its_test(file):
    if file.path.name == "__init__.py":
        return
    inside = file.path.relative_to(PACKAGE)
    mirror = ROOT / "tests" / inside.with_name(inside.stem.strip("_") + "_test.py")
    if not mirror.exists():
        yield f"has no {name(mirror)}"


def fits(file):
    """A file and its functions are no longer than one reads at once."""
    lines = file.text.count("\n")
    if lines > 400:
        yield f"has {lines} lines, at most 400"
    for node in functions(file):
        length = node.end_lineno - node.lineno + 1
        if length > 60:
            yield f":{node.lineno} {node.name} has {length} lines, at most 60"


def documented_and_called_alike(file):
    """What is public says what it is, and is called like others of its kind."""
    said = ast.get_docstring(file.tree) or ""
    if len(said) <= 20 or "TODO" in said:
        yield "does not say what it is"
    if file.path.stem in ("utils", "misc", "common", "helpers"):
        yield "is called as anything could be"
    for node in file.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f":{node.lineno} {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            free = package(file.path) in ("methods", "framework") or node.name in DEFAULTS
            if not free and node.args.defaults:
                yield f": {node.name} has a default"


NUMERIC_PACKAGES = (
    "geometry losses masks mixing normalize quantize augment heatmaps detection"
).split()
# Anything with a default is keyword-only, but for the numbers of papers and these public names.
DEFAULTS = ("sliding_window", "mesh", "digit_scenes")


def key_comes_first(file):
    if package(file.path) not in NUMERIC_PACKAGES:
        return
    for node in functions(file):
        arguments = [a.arg for a in node.args.args + node.args.kwonlyargs]
        if "key" in arguments and arguments[0] != "key":
            yield f": {node.name} takes its key later"


LAWS = (
    arrows_point_down, opened_where_it_is_ordinary, has_its_test, fits,
    documented_and_called_alike, key_comes_first,
)  # fmt: skip


def faults(file, laws):
    return [f"{name(file.path)} {fault}" for law in laws for fault in law(file)]


def test_every_file_keeps_the_laws():
    """In one test, as each file is read once for all of them."""
    found = [fault for path in MODULES for fault in faults(read(path), LAWS)]
    programs = sorted((ROOT / "experiments").glob("*.py"))
    found += [fault for path in programs for fault in faults(read(path), (fits,))]
    assert not found, "\n".join(found)


# Of a module that there is not, in a package of numerics: what breaks each law.
BAD = {
    arrows_point_down: "import flax\nfrom m3i_jax import training\nimport jax.sharding",
    opened_where_it_is_ordinary: "open(path)\nPath(p).write_text(x)\nopen(ordinary.opened(p, 0))",
    has_its_test: "",
    fits: "def f():\n" + 61 * "    x\n" + 400 * "\n",
    documented_and_called_alike: "def f(x=1):\n    pass",
    key_comes_first: "def _draw(x, *, key):\n    pass",
}


@pytest.mark.parametrize("law, count", [*zip(LAWS, (3, 2, 1, 2, 3, 1), strict=True)])
def test_a_law_can_be_broken(law, count):
    text = BAD[law]
    tree = ast.parse(text)
    bad = File(PACKAGE / "losses" / "nowhere.py", text, tree, [*ast.walk(tree)])
    assert len(faults(bad, [law])) == count


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
    tops = {module.split(".")[0] for path in MODULES for module in imported(read(path).nodes)}
    foreign = tops - sys.stdlib_module_names - {"m3i_jax"}
    used = {DISTRIBUTIONS.get(name, name) for name in foreign}
    assert needed <= used, f"nothing imports {needed - used}"
    optional = set().union(*extras.values()) - needed
    assert used <= needed | optional, f"not declared: {used - needed - optional}"
    assert extras["parquet"] | extras["onnx"] <= used  # scenes are imported by their names

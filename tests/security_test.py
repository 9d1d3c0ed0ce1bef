"""SECURITY.md: what it promises is held by tests that are there, and no code of ours could run what
it reads."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()
FOLDERS = [ROOT / name for name in ("m3i_jax", "configs", "experiments")]
MODULES = [path for folder in FOLDERS for path in folder.rglob("*.py")]
# Modules that turn bytes into calls, or start programs; and who may have them, for what.
FORBIDDEN = {
    "pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "runpy",
    "subprocess", "ctypes", "xmlrpc", "code",
}  # fmt: skip
ALLOWED = {("parallel/launching.py", name) for name in ("subprocess", "ctypes")}
ALLOWED |= {("parallel/coordinator.py", "subprocess")}  # itself, beside process 0
ALLOWED |= {("commands/_memory.py", "ctypes")}  # two settings of the C library's memory
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {"extractall", "popen", "execv", "execve", "execvp", "spawnv"}
KEYWORDS = {("np", "load"): ("allow_pickle", False), ("numpy", "load"): ("allow_pickle", False),
            ("torch", "load"): ("weights_only", True),
            ("format", "read_array"): ("allow_pickle", False)}  # fmt: skip


def faults(tree, name):
    """What a module has that could run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            )
            for module in modules:
                top = (module or "").split(".")[0]
                if top in FORBIDDEN and (name, top) not in ALLOWED:
                    yield f"imports {top}"
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _call(node):
    function = node.func
    if isinstance(function, ast.Name) and function.id in CALLS:
        yield f"calls {function.id}"
    if not isinstance(function, ast.Attribute):
        return
    owner = function.value
    owner = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    if function.attr in METHODS or (owner, function.attr) == ("os", "system"):
        yield f"calls {owner}.{function.attr}"
    if (wanted := KEYWORDS.get((owner, function.attr))) is not None:
        keyword, value = wanted
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if given.get(keyword) is not value:
            yield f"{owner}.{function.attr} without {keyword}={value}"


def test_no_module_can_run_what_it_reads():
    found = {}
    for path in MODULES:
        name = str(path.relative_to(ROOT)).removeprefix("m3i_jax/")
        if wrong := list(faults(ast.parse(path.read_text()), name)):
            found[name] = wrong
    assert not found


@pytest.mark.parametrize(
    "line, fault",
    [
        ("import pickle", "imports pickle"),
        ("from yaml import unsafe_load", "imports yaml"),
        ("x = eval(text)", "calls eval"),
        ("tar.extractall(place)", "calls tar.extractall"),
        ("np.load(path)", "np.load without allow_pickle=False"),
        ("np.load(path, allow_pickle=True)", "np.load without allow_pickle=False"),
        ("torch.load(path, weights_only=False)", "torch.load without weights_only=True"),
        ("os.system(line)", "calls os.system"),
        ("np.load(path, allow_pickle=False)", None),
        ("import ast; ast.literal_eval(text)", None),
    ],
)
def test_the_search_finds_what_it_is_for(line, fault):
    assert list(faults(ast.parse(line), "x.py")) == ([fault] if fault else [])


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`(tests/[\w/]+_test\.py)(?:::(test_\w+))?`", TEXT)
    assert len(named) > 20
    for file, name in named:
        text = (ROOT / file).read_text()
        assert not name or f"def {name}(" in text, f"{file} has no {name}"

"""Pages that are made of the code: every sentence that refuses something, and the public functions.

Nothing is imported: both are read from the syntax, so that no page can be behind the code.
"""

import ast
import functools
import pathlib
import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "m3i_jax"
# Packages whose functions others may use alone, in the order of the page.
PUBLIC = (
    "losses masks mixing normalize quantize geometry augment metrics framework methods encoders "
    "decoders networks evaluation"
).split()
SHORTEST = 12  # letters of a sentence
# What to do, by the package whose sentence it is.
ADVICE = tomllib.loads((ROOT / "docs" / "advice.toml").read_text())


class Sentence(NamedTuple):
    """What a user may be told. text: with … for what differs.  kind: of the exception."""

    module: str
    line: int
    kind: str
    text: str


@functools.cache
def kinds() -> set[str]:
    """Names of `UserError` and all its kinds."""
    known, before = {"UserError"}, 0
    classes = [node for _, tree in _trees() for node in ast.walk(tree)]
    classes = [node for node in classes if isinstance(node, ast.ClassDef)]
    while len(known) > before:
        before = len(known)
        known |= {c.name for c in classes if {ast.unparse(b) for b in c.bases} & known}
    return known


@functools.cache
def sentences() -> list[Sentence]:
    """Every sentence of a raise of one of `kinds`, in the order of the modules."""
    found, names = [], kinds()
    for path, tree in _trees():
        functions = {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
        for function, node in _raises(tree):
            kind = ast.unparse(node.exc.func)
            if kind not in names or not node.exc.args:
                continue
            for text in _texts(node.exc.args[0], function, functions):
                module = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
                found.append(Sentence(module, node.lineno, kind, text))
    return found + _ranges()


def _ranges() -> list[Sentence]:
    """The sentences on values that a config may not have, which `build.check` hands on."""
    tree = ast.parse((PACKAGE / "ranges.py").read_text())
    texts = [
        (node.lineno, _text(node)) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
    ]
    told = [(line, text) for line, text in texts if text.startswith("… is …")]
    return [Sentence("m3i_jax.ranges", line, "ConfigError", text) for line, text in told]


def unresolved() -> list[str]:
    """Raises whose sentence is made where this cannot see it: FILE:LINE."""
    names, seen = kinds(), {(s.module, s.line) for s in sentences()}
    places = []
    for path, tree in _trees():
        module = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for _, node in _raises(tree):
            if ast.unparse(node.exc.func) in names and (module, node.lineno) not in seen:
                places.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return places


def troubleshooting() -> str:
    """The page of all sentences, by package, with what to do."""
    parts = [
        "# Troubleshooting",
        "Every sentence with which a command ends, … for what differs; search this page for a few "
        "words of yours. Most name the key, the file and the nearest right thing already.",
    ]
    by_package: dict[str, list[Sentence]] = {}
    for sentence in sentences():
        by_package.setdefault(package(sentence.module), []).append(sentence)
    for name in sorted(by_package):
        parts += [f"## {name}", ADVICE[name]]
        modules = dict.fromkeys(s.module for s in by_package[name])
        for module in modules:
            mine = dict.fromkeys(s.text for s in by_package[name] if s.module == module)
            parts += [f"### {module}", "```text\n" + "\n".join(mine) + "\n```"]
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """The page of public functions: signatures with shapes, and what they say of themselves."""
    parts = ["# API", 'Shapes are in the annotations: `Float[Array, "batch tokens dim"]`.']
    for name in PUBLIC:
        place = PACKAGE / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        parts.append(f"## {name}")
        for path in files:
            tree = ast.parse(path.read_text())
            module = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
            public = [node for node in tree.body if _is_public(node)]
            if not public:
                continue
            parts += [f"### {module}", _fenced(ast.get_docstring(tree) or "", "text")]
            for node in public:
                said = ast.get_docstring(node) or ""
                parts += [_fenced(_signature(node), "python"), _fenced(said, "text")]
    return "\n\n".join(parts) + "\n"


def package(module: str) -> str:
    """The package of a module, or its own name in the top one."""
    return module.split(".")[1]


@functools.cache
def _trees() -> list[tuple[pathlib.Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


def _raises(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.Raise]]:
    """(function around it, raise of a call) of a module."""

    def visit(node: ast.AST, function: ast.AST) -> Iterator[tuple[ast.AST, ast.Raise]]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, ast.FunctionDef) else function
            for part in ast.walk(child) if isinstance(child, ast.Raise) else ():
                if isinstance(part, ast.Call) and part in (
                    child.exc,
                    getattr(child.exc, "body", 0),
                ):
                    yield inner, ast.Raise(exc=part, lineno=child.lineno)
            yield from visit(child, inner)

    yield from visit(tree, tree)


def _texts(node: ast.AST, function: ast.AST, functions: dict[str, ast.FunctionDef]) -> list[str]:
    """The sentences that an expression may be: itself, or what a name or a function of it is."""
    own = _text(node)
    if len(own.replace("…", "")) >= SHORTEST:
        return [own]
    found: list[str] = []
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    for part in ast.walk(function):
        targets = getattr(part, "targets", [getattr(part, "target", None)])
        if isinstance(part, ast.Assign | ast.NamedExpr) and names & {
            t.id for t in targets if isinstance(t, ast.Name)
        }:
            found += [_text(part.value)]
            names |= {p.id for p in ast.walk(part.value) if isinstance(p, ast.Name)}
    for name in names & functions.keys():
        found += [_text(p) for p in ast.walk(functions[name]) if isinstance(p, ast.JoinedStr)]
    return [text for text in dict.fromkeys(found) if len(text.replace("…", "")) >= SHORTEST]


def _text(node: ast.AST) -> str:
    """A text with … for all that is no constant."""
    if isinstance(node, ast.Constant):
        return " ".join(str(node.value).split()) if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
        return re.sub(r"…+", "…", " ".join("".join(parts).split()))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return re.sub(r"…+", "…", _text(node.left) + _text(node.right))
    return "…"


def _is_public(node: ast.AST) -> bool:
    kind = isinstance(node, ast.FunctionDef | ast.ClassDef)
    return kind and not node.name.startswith("_")


def _signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A function as it is written, without its body; a class with its fields."""
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
        return "\n    ".join([f"class {node.name}:", *(fields or ["..."])])
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}: ..."


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```" if text else ""

r"""Pages that are made of the code: every sentence that refuses or warns, and public functions.

Nothing is imported: both are read from the syntax, so that no page can be behind the code.

    python docs/pages.py        # writes docs/troubleshooting.md anew
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
    "losses masks mixing normalize quantize geometry augment heatmaps detection metrics framework "
    "methods encoders heads decoders networks evaluation"
).split()
SHORTEST = 12  # letters of a sentence
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
WARNING = "warning"  # the kind of a sentence behind which the work goes on
# Functions that make what others warn of, by module; all sentences in them are such.
MAKERS = {
    "checkpoints/faults": ("damaged",),
    "data/sources/decoding": ("unreadable",),
    "data/sources/folder_labels": ("_unread",),
    "data/sources/overlap": ("warning",),
    "training/average": ("hardly_moved",),
    "training/unused": ("_modules", "_inputs", "_said", "_of_method", "_average"),
}
WARNS = ("LOG.warning", "LOG.error", "logging.warning", "warnings.warn")
# What to do, by the package whose sentence it is.
ADVICE = tomllib.loads((ROOT / "docs" / "advice.toml").read_text())


class Sentence(NamedTuple):
    """What a user may be told. text: with … for what differs.  kind: of the exception, or
    `WARNING`."""

    module: str
    line: int
    kind: str
    text: str


# What absl says of flags, whose words are not in this code; `tests/docs_test.py` hears each.
FLAGS = [
    Sentence("m3i_jax.command_flags", 0, "flags.Error", text)
    for text in (
        "Unknown command line flag '…'",
        "Missing value for flag …",
        "Unable to open flagfile: …",
    )
]


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
        functions = _functions(tree)
        for function, node in _raises(tree):
            kind = ast.unparse(node.exc.func)
            if kind not in names or not node.exc.args:
                continue
            for text in _texts(node.exc.args[0], function, functions):
                found.append(Sentence(_module(path), node.lineno, kind, text))
    return found + _ranges()


@functools.cache
def warnings() -> list[Sentence]:
    """Every sentence of a warning, in the order of the modules."""
    found: list[Sentence] = []
    for path, tree in _trees():
        module, functions = _module(path), _functions(tree)
        for function, call in _warns(tree):
            texts = _texts(call.args[0], function, functions) or _handed(call, function, functions)
            found += [Sentence(module, call.lineno, WARNING, text) for text in texts]
        for name in MAKERS.get(str(path.relative_to(PACKAGE).with_suffix("")), ()):
            line = functions[name].lineno
            found += [Sentence(module, line, WARNING, text) for text in _said(functions[name])]
    return sorted(dict.fromkeys(found))


def _warns(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.Call]]:
    """(function around it, call) of all that warns in a module."""
    for function in _functions(tree).values():
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in WARNS and call.args:
                yield function, call


def _handed(call: ast.Call, function: ast.AST, functions: dict) -> list[str]:
    """The sentences that a format without words of its own is filled with, as far as this module
    makes them; those of `MAKERS` and of errors are where they are made."""
    texts = [text for value in call.args[1:] for text in _texts(value, function, functions)]
    return list(dict.fromkeys(texts))


def _said(function: ast.FunctionDef) -> list[str]:
    """The sentences that a function returns or yields, alone or in a tuple."""
    given = [part.value for part in ast.walk(function) if isinstance(part, ast.Return | ast.Yield)]
    parts = [one for value in given for one in getattr(value, "elts", [value])]
    parts = [one.args[0] if isinstance(one, ast.Call) and one.args else one for one in parts]
    return [text for text in dict.fromkeys(map(_text, parts)) if _long(text)]


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
        module = _module(path)
        for _, node in _raises(tree):
            if ast.unparse(node.exc.func) in names and (module, node.lineno) not in seen:
                places.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return places


def troubleshooting() -> str:
    """The page of all sentences, by package, with what to do."""
    parts = [
        "# Troubleshooting",
        "Every sentence with which a command ends, or warns and goes on (`warning:`), … for what "
        "differs; search this page for a few words of yours. Most name the key, the file and the "
        "nearest right thing already. `python docs/pages.py` makes this page of the code.",
    ]
    by_package: dict[str, list[Sentence]] = {}
    for sentence in (*sentences(), *warnings(), *FLAGS):
        by_package.setdefault(package(sentence.module), []).append(sentence)
    for name in sorted(by_package):
        parts += [f"## {name}", ADVICE[name]]
        for module in sorted({s.module for s in by_package[name]}):
            mine = dict.fromkeys(_shown(s) for s in by_package[name] if s.module == module)
            parts += [f"### {module}", "```text\n" + "\n".join(mine) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _shown(sentence: Sentence) -> str:
    """A sentence as a command says it."""
    return f"warning: {sentence.text}" if sentence.kind == WARNING else sentence.text


def api() -> str:
    """The page of public functions: signatures with shapes, and what they say of themselves."""
    parts = ["# API", 'Shapes are in the annotations: `Float[Array, "batch tokens dim"]`.']
    for name in PUBLIC:
        place = PACKAGE / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        parts.append(f"## {name}")
        for path in files:
            tree = ast.parse(path.read_text())
            module = _module(path)
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


def _module(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")


def _functions(tree: ast.AST) -> dict[str, ast.FunctionDef]:
    return {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}


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
    if _long(own):
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
    return [text for text in dict.fromkeys(found) if _long(text)]


def _long(text: str) -> bool:
    """Whether a text is a sentence, and no word or format."""
    return len(text.replace("…", "")) >= SHORTEST and " " in text


def _text(node: ast.AST) -> str:
    """A text with … for all that is no constant."""
    if isinstance(node, ast.Constant):
        return _filled(node.value) if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
        return re.sub(r"…+", "…", " ".join("".join(parts).split()))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return re.sub(r"…+", "…", _text(node.left) + _text(node.right))
    return "…"


def _filled(text: str) -> str:
    """A text with … for what a format of `logging` puts in."""
    said = re.sub(r"%%|%[-+#0]*\d*(\.\d+)?[sdgfr]", lambda m: "%" if m[0] == "%%" else "…", text)
    return re.sub(r"…+", "…", " ".join(said.split()))


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


if __name__ == "__main__":
    TROUBLESHOOTING.write_text(troubleshooting())

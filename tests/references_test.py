"""Sources: what code and docs refer to exists, and docs/methods.md says what the configs do."""

import ast
import functools
import inspect
import pathlib
import re

import pytest

from m3i_jax import losses, masks, methods, shipped
from m3i_jax.framework import assignments, distributions, regularizers, targets
from m3i_jax.methods import forms
from tests import published_test as published

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("m3i_jax", "tests", "configs", "experiments", "benchmarks", "docs")
PATHS = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + [*ROOT.glob("*.md")]
TEXTS = {p: p.read_text() for p in sorted(PATHS) if p.suffix in (".py", ".md", ".sh")}
PAGE = ROOT / "docs" / "methods.md"

# Pages that the builders had and users do not, cited by section, finding or trap.
PRIVATE = re.compile(
    r"\b(METHODS|RELIABILITY|DESIGN|PERFORMANCE|STACK|STYLE|HOUSE|FOUND)(-2)?"
    r"(\.md|,?[\s#]*([\u00a7]|[FSG]?\d|trap\b|row\b))"
)
SECTION = "\u00a7"
SOURCE = re.compile(r"https://\S+|docs/\w+\.md#\w+")

SMALL = re.compile("digit_scenes|fashion_mnist|^folder/")  # of data sets to learn on, ours


def everywhere(found):
    """{file: what `found` returns of it} where that is anything."""
    faults = {str(path.relative_to(ROOT)): list(found(path, text)) for path, text in TEXTS.items()}
    return {name: fault for name, fault in faults.items() if fault}


@functools.cache
def anchors(path):
    """What `#...` may follow a page's name, as GitHub makes it of headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def leads_nowhere(path, anchor):
    return not path.exists() or (anchor and (path.suffix != ".md" or anchor not in anchors(path)))


def test_nothing_cites_a_page_that_users_do_not_have():
    assert not everywhere(lambda path, text: (m[0] for m in PRIVATE.finditer(text)))


@pytest.mark.parametrize("name", ["METHODS", "RELIABILITY", "DESIGN", "PERFORMANCE"])
@pytest.mark.parametrize("place", [f" {SECTION}2.2)", " 7.5.", f"\n{SECTION}5", " F11", ".md"])
def test_such_a_citation_is_recognised(name, place):
    assert PRIVATE.search(f"as in ({name}{place}")


def test_a_section_sign_stands_behind_the_name_of_a_paper():
    names = set(re.findall(r"\[([^\],]+), [^\]]*\d{4}\]\(http", TEXTS[PAGE]))
    assert {"M3I", "MAE", "CIM"} <= names
    known = re.compile(r"\b(19|20)\d\d\b|arxiv|\b(" + "|".join(map(re.escape, names)) + r")\b")

    def orphans(path, text):
        for match in re.finditer(SECTION, text):
            if not known.search(text[max(0, match.start() - 120) : match.start()]):
                yield text[match.start() - 30 : match.end() + 10]

    assert not everywhere(orphans)


def test_every_link_leads_to_a_file_and_heading():
    def dead(path, text):
        if path.suffix == ".md":
            text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                file, _, anchor = link.partition("#")
                target = path.parent / file if file else path
                if not link.startswith("https://") and leads_nowhere(target, anchor):
                    yield link
        for file, anchor in re.findall(r"\b(docs/\w+\.md)(?:#([\w-]+))?", text):
            if leads_nowhere(ROOT / file, anchor):
                yield f"{file}#{anchor}"

    own = str(pathlib.Path(__file__).relative_to(ROOT))
    assert not {name: links for name, links in everywhere(dead).items() if name != own}


def test_a_dead_link_is_recognised():
    assert not leads_nowhere(PAGE, "moco_v3") and not leads_nowhere(PAGE, "pixel-targets")
    assert leads_nowhere(PAGE, "moco_v9") and leads_nowhere(ROOT / "docs" / "none.md", "")


def test_a_link_to_arxiv_is_to_an_abstract():
    def wrong(path, text):
        for link in re.findall(r"https://arxiv\.org/[^\s)>\"'`,;]*", text):
            if not re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}\.?", link):
                yield link

    own = str(pathlib.Path(__file__).relative_to(ROOT))
    assert not {name: links for name, links in everywhere(wrong).items() if name != own}


def defined(module):
    """{name: function} of the public functions that a module defines."""
    return {
        name: fn
        for name, fn in vars(module).items()
        if inspect.isfunction(fn) and fn.__module__ == module.__name__ and name[0] != "_"
    }


def drawn(module):
    """{name: function} of the public functions that draw something: their key comes first."""
    public = {name: getattr(module, name) for name in module.__all__}
    return {n: fn for n, fn in public.items() if "key" in inspect.signature(fn).parameters}


def test_what_comes_from_a_paper_says_which():
    public = (
        [getattr(losses, name) for name in losses.__all__]
        + list(drawn(masks).values())
        + list(defined(assignments).values())
        + list(defined(targets).values())
        + list(defined(distributions).values())
        + list(defined(regularizers).values())
        + list(methods.METHODS.values())
    )
    assert len(public) > 90
    silent = [f"{fn.__module__}.{fn.__name__}" for fn in public if not SOURCE.search(fn.__doc__)]
    assert not silent, f"without a link or docs/methods.md#...: {silent}"


def test_a_published_config_says_where_it_is_from():
    published_configs = [p for name, p in shipped.names().items() if not SMALL.search(name)]
    published_configs = [p.resolve() for p in published_configs]

    def silent(path, text):
        if path.resolve() in published_configs:
            if not SOURCE.search(ast.get_docstring(ast.parse(text))):
                yield "no source"

    assert not everywhere(silent)


def sections():
    """{method: its section of the page}, by headings of one word of code."""
    parts = re.split(r"^### `(\w+)`$", TEXTS[PAGE], flags=re.MULTILINE)
    texts = [re.split(r"^# ", text, flags=re.MULTILINE)[0] for text in parts[2::2]]
    return dict(zip(parts[1::2], texts, strict=True))


SECTIONS = sections()


def constants(text):
    """{config: the lines (published, key) of its table} of a section; every line is read."""
    header, found = r"^\| constant \| \w[\w' -]* \| key in `([\w/:]+)` \|$", {}
    for head in re.finditer(header, text, re.MULTILINE):
        lines = text[head.end() :].split("\n\n")[0].strip().splitlines()[1:]
        cells = [re.fullmatch(r"\| .+ \| (.+) \| `([\w.]+)` \|", x).groups() for x in lines]
        assert head[1] not in found and cells
        found[head[1]] = cells
    return found


def parsed(cell):
    """A number, fraction, range or word as the page writes it."""
    if cell in ("yes", "no", "none"):
        return {"yes": True, "no": False, "none": None}[cell]
    if " to " in cell:
        return tuple(float(part) for part in cell.split(" to "))
    if fraction := re.fullmatch(r"(\d+)/(\d+)", cell):
        return int(fraction[1]) / int(fraction[2])
    try:
        return float(cell)
    except ValueError:
        return cell


def test_every_method_has_a_section_and_every_section_a_method():
    assert set(SECTIONS) == set(methods.METHODS)


@pytest.mark.parametrize("method", SECTIONS)
def test_a_section_has_a_source_and_traps_and_names_a_config(method):
    text = SECTIONS[method]
    assert re.search(r"\]\((https://|#\w+)", text) and "*Traps*" in text
    stems = [config.partition(":")[0] for config in constants(text)]
    stems = stems or re.findall(r"`(digit_scenes/\w+)`", text)
    assert stems and set(stems) <= set(shipped.names())


TABLES = [(method, name) for method, text in SECTIONS.items() for name in constants(text)]


@pytest.mark.parametrize("method, name", TABLES)
def test_the_constants_of_the_page_are_those_of_the_config(method, name):
    config, lines = published.load(name), constants(SECTIONS[method])[name]
    assert methods.METHODS[config.objective["name"]] in (methods.METHODS[method], forms.table2)
    told = published.told(config)
    wrong = {
        key: (told.get(key, "nothing"), cell)
        for cell, key in lines
        if not published.same(told.get(key, "nothing"), parsed(cell))
    }
    assert not wrong, f"{{key: (config, page)}} = {wrong}"


def test_what_a_config_or_method_reports_stands_in_its_section():
    docs = {name: [method.__doc__] for name, method in methods.METHODS.items()}
    for path, text in TEXTS.items():
        if "configs" in path.parts and (at := re.search(r"docs/methods\.md#(\w+)\.$", text, re.M)):
            said = re.search(r"(?:Reported|reports).*", ast.get_docstring(ast.parse(text)), re.S)
            docs.get(at[1], []).append(said[0] if said else "")
    figures = {
        name: set(re.findall(r"\b\d\d\.\d\b", " ".join(said))) for name, said in docs.items()
    }
    assert sum(map(len, figures.values())) > 30
    missing = {name: {x for x in said if x not in SECTIONS[name]} for name, said in figures.items()}
    assert not {name: x for name, x in missing.items() if x}


def test_methods_without_constants_are_those_that_nobody_published():
    bare = {method for method, text in SECTIONS.items() if not constants(text)}
    ours = set(methods.METHODS) - set(methods.PUBLISHED) - set(methods.DENSE)
    assert bare == ours >= {"combine", "siamese_words"}


def test_the_forms_of_table_2_are_those_of_the_page():
    line = r"^\| (\w) \| [^|]+ \| (\w+) \| \w+ \| ([\d.]+) \| ([\d.]+) \|$"
    found = {
        form: (target, float(top), float(box))
        for form, target, top, box in re.findall(line, SECTIONS["table2"], re.MULTILINE)
    }
    assert found == {letter: (f.target, f.imagenet, f.coco) for letter, f in forms.FORMS.items()}

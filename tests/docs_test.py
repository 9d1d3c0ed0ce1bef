"""The documentation's site: every page is in it, no sentence is missing, and it builds clean."""

import ast
import json
import pathlib
import re
import subprocess
import sys
import zipfile
from xml.etree import ElementTree

import pytest
from absl import flags

from m3i_jax import methods
from m3i_jax.evaluation import tasks
from tests import provoked

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import costs  # noqa: E402
import dense  # noqa: E402
import drawn  # noqa: E402
import pages  # noqa: E402
import zoo  # noqa: E402

MADE = {"api", "changelog", "contributing", "security"}


def test_no_sentence_is_missing():
    kinds = "|".join(sorted(pages.kinds()))
    starts = re.compile(rf"^ *raise \(?({kinds})\(", re.MULTILINE)
    raised = {
        (str(path.relative_to(ROOT)), text[: match.end()].count("\n") + 1)
        for path in pages.PACKAGE.rglob("*.py")
        for text in [path.read_text()]
        for match in starts.finditer(text)
        if text[match.end()] != ")"  # passed on as it is
    }
    seen = {(s.module.replace(".", "/") + ".py", s.line) for s in pages.sentences()}
    handed_on = {tuple(place.rsplit(":", 1)) for place in pages.unresolved()}
    rest = raised - seen - {(file, int(line)) for file, line in handed_on}
    assert not rest and len(raised) > 500
    # These say what another function has found, whose sentence is where that is.
    assert len(handed_on) <= 0.06 * len(raised)


def test_the_page_has_all_of_them_and_what_to_do():
    text = pages.troubleshooting()
    assert all(sentence.text in text for sentence in pages.sentences())
    assert all(f"warning: {sentence.text}" in text for sentence in pages.warnings())
    for link in re.findall(r"\]\(([^)]*)\)", text):
        assert (ROOT / "docs" / link).is_file(), link
    for known in (
        "there is no '…'",
        "has no checkpoints; expected the --workdir of a pretrain run",
    ):
        assert known in text


def test_the_page_is_that_of_the_code():
    assert pages.TROUBLESHOOTING.read_text() == pages.troubleshooting(), (
        "python docs/pages.py writes it anew"
    )


@pytest.mark.parametrize("sentence", pages.FLAGS)
def test_what_absl_says_of_flags_is_what_the_page_has(sentence):
    line = {"Unknown": "--stepz=3", "Missing": "--steps", "Unable": "--flagfile=/not/there"}
    known = flags.FlagValues()
    flags.DEFINE_integer("steps", None, "Length.", flag_values=known)
    words = ["m3i", line[sentence.text.split()[0]]]
    with pytest.raises(flags.Error, match=provoked._pattern(sentence.text)):
        known(known.read_flags_from_files(words, force_gnu=False))


def test_who_was_told_a_sentence_is_known():
    sentence = pages.Sentence("m3i_jax.a", 3, "ConfigError", "there is no '…' in …")
    told = provoked.Told("m3i_jax.a", 3, "there is no 'x'  in y\nand z")
    assert not provoked.never([sentence], [told])
    handed = sentence._replace(kind=pages.WARNING, module="m3i_jax.c")
    assert not provoked.never([handed], [told]), "a warning is said by whoever it was handed to"
    assert provoked.never([sentence], [told._replace(module="m3i_jax.b")]) == [sentence]
    assert provoked.never([sentence], [told._replace(text="there is a 'x' in y")]) == [sentence]
    known = [one.text for one in (*pages.sentences(), *pages.warnings())]
    assert all(any(text.startswith(start) for text in known) for start in provoked.ELSEWHERE)


def test_a_sentence_is_found_wherever_it_is_made():
    code = """
def f(x):
    a = f"the first of {x} is wrong"
    if a:
        raise ConfigError(a)
    raise ConfigError(said(x) or "a plain sentence" + f" with {x}")
def said(x):
    return f"{x} is what another function says"
"""
    tree = ast.parse(code)
    functions = {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
    found = [pages._texts(n.exc.args[0], f, functions) for f, n in pages._raises(tree)]
    assert found[0] == ["the first of … is wrong"]
    assert "… is what another function says" in found[1]


def test_no_warning_is_missing():
    warns = re.compile(rf"^ *({'|'.join(map(re.escape, pages.WARNS))})\(", re.MULTILINE)
    called = {
        (pages._module(path), text[: match.end()].count("\n") + 1)
        for path in pages.PACKAGE.rglob("*.py")
        for text in [path.read_text()]
        for match in warns.finditer(text)
    }
    rest = called - {(one.module, one.line) for one in pages.warnings()}
    # These say what others have made: errors, and sentences of `MAKERS`.
    assert len(rest) <= 12 and len(called) > 60
    assert pages._filled("%d of %s are %.0f %% of it") == "… of … are … % of it"


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs" / "index.md").read_text()
    listed = {line.strip() for line in contents.splitlines()}
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert there | MADE <= listed


def test_the_api_has_shapes_and_sources():
    text = pages.api()
    assert "def gaussian(" in text and "Float[Array, " in text and "arxiv.org/abs/" in text


def test_numbers_of_the_zoo_are_those_of_the_files_and_of_the_pages_that_speak_of_them():
    page = zoo.page()
    assert (
        "| trained, ema | `digit_scenes/m3i` | 0 | 1000 | digit_scenes | 66.2 (64.1–68.2) |" in page
    )
    for file in sorted(zoo.FOLDER.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        shown = [(m, line) for line in lines for m in zoo.SHOWN if m in line["metrics"]]
        cells = [
            f"| {zoo.said(m, (line['metrics'][m], line['intervals'].get(m)))} |"
            for m, line in shown
        ]
        assert shown and all(cell in page for cell in cells)
    assert "**66.2 %** | 40.8 %" in (ROOT / "README.md").read_text()
    assert "| 81.4, 81.1, 81.5 |" in (ROOT / "docs" / "fashion_mnist.md").read_text()


def test_tables_of_dense_tasks_are_those_of_the_files_and_trained_networks_are_ahead_in_them():
    for page in dense.PAGES:
        text = page.read_text()
        assert any(table in text for table in (dense.tasks(), dense.objects()))
        assert text == dense.filled(text), "python docs/dense.py writes the tables anew"
    assert dense.least("pose", [0.6, 0.5], [0.3, 0.4], [0.4, 0.1]) == pytest.approx(0.1)
    # Metres: the fewer the better.
    assert dense.least("depth", [1.5, 1.0], [2.0, 1.4], [2.5, 1.2]) == pytest.approx(0.2)
    for task in dense.TASKS:
        ends = {"trained": [], "untrained": []}
        for line in dense.lines(task):
            drawn = line["model"].startswith(dense.UNTRAINED)
            ends["untrained" if drawn else "trained"].append(line["intervals"][dense.measure(task)])
        pairs = list(zip(*ends.values(), strict=True))
        if dense.measure(task) in zoo.METRES:
            pairs = [pair[::-1] for pair in pairs]
        assert len(pairs) == 3 and all(low[1] < high[0] for high, low in pairs)


def test_numbers_without_a_command_or_a_run_that_is_known_are_refused(tmp_path):
    for name in ("quickstart.jsonl", "quickstart.toml"):
        (tmp_path / name).write_text((zoo.FOLDER / name).read_text())
    told = tmp_path / "quickstart.toml"
    assert "66.2" in zoo.page(tmp_path)
    whole = told.read_text()
    told.write_text(whole.replace("runs/m3i", "runs/other"))
    with pytest.raises(zoo.Unfounded, match="'runs/m3i', whose config"):
        zoo.page(tmp_path)
    told.write_text(re.sub(r"commands = .*", "commands = []", whole))
    with pytest.raises(zoo.Unfounded, match="names no command"):
        zoo.page(tmp_path)
    told.unlink()
    with pytest.raises(zoo.Unfounded, match="names no command"):
        zoo.page(tmp_path)


def test_every_method_says_when_to_use_it_and_what_it_costs():
    assert costs.when().keys() == methods.METHODS.keys()
    assert costs.known().keys() == {n for n in methods.METHODS if costs.published(n)}
    assert costs.PAGE.read_text() == costs.table(), "python docs/costs.py --table writes it anew"


def test_costs_are_those_of_a_vit_b16_from_its_shapes():
    width, tokens, patch = 768, 197, 16 * 16 * 3
    block = 12 * width**2 * tokens + 2 * tokens**2 * width  # multiply-adds
    forward = 2 * (12 * block + patch * width * (tokens - 1)) / 1e9
    known = costs.known()
    # Forward, and twice as much backward, but no gradient to the pixels; a head is small.
    assert known["classification"]["gflops"] == pytest.approx(3 * forward, rel=0.02)
    # A moving average costs a forward pass without a backward one.
    more = known["data2vec"]["gflops"] - known["classification"]["gflops"]
    assert more == pytest.approx(forward, rel=0.05)


@pytest.mark.parametrize("name", methods.PUBLISHED)
def test_a_figure_has_every_view_code_and_term(name):
    method = methods.METHODS[name]()
    figure = ElementTree.fromstring(drawn.svg(method, name=name))
    boxes, arrows = drawn.graph(method)
    kinds = [box.get("class") for box in figure.iter("rect")]
    assert len(kinds) == len(boxes) and {"view", "term"} <= set(kinds)
    texts = {text.text for text in figure.iter("text")}
    for term in method.terms.values():
        assert set(term.predict.name.split(" · ")) <= {text.removesuffix(" ·") for text in texts}
    for box in boxes:  # each leads somewhere, or is where something leads
        assert any(box in (arrow.start, arrow.end) for arrow in arrows)
        assert max(map(len, box.text)) * 6.4 < drawn.COLUMNS[box.column][1], box.text


def test_passes_are_counted_once_for_codes_that_share_them():
    counted = {name: drawn.passes(methods.METHODS[name]()) for name in ("densecl", "m3i", "simclr")}
    assert counted == {"densecl": "1 online, 1 averaged", "m3i": "1 online, 1 averaged",
                       "simclr": "2 online"}  # fmt: skip


def named(page):
    """Patterns of the names in the first column of the tables of docs/metrics.md."""
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    free = {"TERM": ".+", "GROUP": ".+", "BRANCH": "(ema|online)", "TASK": r"\w+", "KIND": r"\w+",
            "MEASURE": r"\w+", "N": r"\d+", "SHARE": r"[\dp]+"}  # fmt: skip
    split = re.compile("|".join(f"({word})" for word in free))
    words = lambda name: "".join(free.get(p, re.escape(p)) for p in split.split(name) if p)  # noqa: E731
    return {name: re.compile(words(name)) for name in names}


FAMILIES = "train optim balance information health probe monitor perf validation eval".split()


def written():
    """Names of metrics in the code, … for what differs, that whatever reads them has not made."""
    name = re.compile(rf"({'|'.join(FAMILIES)})/[\w…/]*[a-z0-9…]|ema/momentum")
    for path, tree in pages._trees():
        if not {"report", "studies"} & set(path.parts):
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr | ast.Constant) and name.fullmatch(
                    text := pages._text(node)
                ):
                    yield text


def test_every_metric_is_explained():
    patterns = named((ROOT / "docs" / "metrics.md").read_text())
    codes = set(written())
    assert len(codes) > 25
    for text in codes:
        filled = text.replace("…", "ema", 1) if text.startswith(("probe", "valid")) else text
        for several, one in (("eval/…/…", "eval/linear/top1"), ("health/…/…", "health/x/rank")):
            filled = filled.replace(several, one)
        filled = filled.replace("…", "x")
        assert any(pattern.fullmatch(filled) for pattern in patterns.values()), text
    logged = {"step"}
    with zipfile.ZipFile(ROOT / "tests" / "before" / "run.zip") as run:
        for file in run.namelist():
            if file.endswith((".jsonl",)):
                for line in map(json.loads, run.read(file).splitlines()):
                    logged |= {k for k in line.get("metrics", line) if "/" in k}
    for file in zoo.FOLDER.glob("*.jsonl"):
        for line in map(json.loads, file.read_text().splitlines()):
            logged |= line["metrics"].keys()
    missing = [k for k in logged - {"step"} if not any(p.fullmatch(k) for p in patterns.values())]
    assert not missing and len(logged) > 20


def test_every_task_has_its_headline_explained():
    patterns = named((ROOT / "docs" / "metrics.md").read_text()).values()
    for task in tasks.defaults():
        assert any(pattern.fullmatch(task.metric) for pattern in patterns), task.metric


def test_the_citation_is_of_this_version():
    yaml = pytest.importorskip("yaml")
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{said["version"]}"' in project and said["cff-version"] == "1.2.0"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    for name in ("sphinx", "furo", "myst_nb", "jupytext"):
        pytest.importorskip(name, reason="pip install 'm3i_jax[docs]' to build the site")
    # tests/notebooks_test.py runs the notebooks
    command = [sys.executable, str(ROOT / "docs" / "build.py"), str(tmp_path / "site"), "--plain"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Troubleshooting" in (tmp_path / "site" / "troubleshooting.html").read_text()

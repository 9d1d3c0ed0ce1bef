"""The documentation's site: every page is in it, no sentence is missing, and it builds clean."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import pages  # noqa: E402

MADE = {"troubleshooting", "api", "changelog", "contributing"}


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
    for link in re.findall(r"\]\(([^)]*)\)", text):
        assert (ROOT / "docs" / link).is_file(), link
    for known in (
        "there is no '…'",
        "has no checkpoints; expected the --workdir of a pretrain run",
    ):
        assert known in text


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


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs" / "index.md").read_text()
    listed = {line.strip() for line in contents.splitlines()}
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert there | MADE <= listed


def test_the_api_has_shapes_and_sources():
    text = pages.api()
    assert "def gaussian(" in text and "Float[Array, " in text and "arxiv.org/abs/" in text


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

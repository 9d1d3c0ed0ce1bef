"""docs/extending.md: every diff applies, costs what CONTRIBUTING says, and what it adds works."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
TITLES, TEXTS = (re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)[i::2] for i in (1, 2))
DIFFS = {
    title: re.search(r"^```diff\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[1]
    for title, text in zip(TITLES, TEXTS, strict=True)
}
# How many files of code, configs and tests an addition may touch; if it is more, the core is in
# the way.
FILES = {
    "A method": 2,
    "A loss": 4,
    "An encoder": 4,
    "A data source": 3,
    "An evaluation task": 3,
    "An optimiser": 2,
}
KINDS = ("m3i_jax", "configs", "tests", "docs")
# Laws of the whole tree that an addition can break, beside the tests that it brings.
LAWS = (
    "structure", "config_ranges", "configs", "references", "evaluation/tasks/task",
    "encoders/protocol", "training/show",
)  # fmt: skip
# Of those files, what is about the additions or the tree as a whole.
CHOSEN = (
    "extending_uses or cauchy or lion or siamese_layers or robust_mae or mixer or class_mean"
    " or cifar or (structure and not import) or minutes or section or paper or link or nobody"
    " or every_task or every_key"
)


def lines(diff):
    """{file: how many lines are written or changed} of a diff."""
    files = re.split(r"^--- .*\n\+\+\+ b/(.*)\n", diff, flags=re.MULTILINE)[1:]
    return {
        file: len(re.findall(r"^\+", text, re.MULTILINE))
        for file, text in zip(files[::2], files[1::2], strict=True)
    }


def cost(title):
    """The line of the table of costs that a diff makes true."""
    count = lines(DIFFS[title])
    cells = [[str(n) for file, n in count.items() if file.startswith(kind)] for kind in KINDS]
    files = sum(map(len, cells[:3]))
    link = f"[{title.lower()}](docs/extending.md#{title.lower().replace(' ', '-')})"
    return f"| {' | '.join([link, str(files), *(' + '.join(c) or '–' for c in cells)])} |"


def apply(title, tree, *how):
    """`git apply`, as a reader would, in a tree that is no repository."""
    done = subprocess.run(
        ["git", "apply", *how, "-"], input=DIFFS[title], cwd=tree, text=True, capture_output=True,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)},
    )  # fmt: skip
    assert not done.returncode, (
        f"'## {title}' of docs/extending.md no longer applies; write its context anew from what "
        f"the file has now:\n{done.stderr}"
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what the diffs touch, and of what reads it."""
    place = tmp_path_factory.mktemp("extending") / "tree"
    place.mkdir()
    for path in ROOT.iterdir():
        if path.name in ("m3i_jax", "configs", "tests", "docs", "experiments", "benchmarks"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, place / path.name, symlinks=True, ignore=ignore)
        elif path.suffix in (".md", ".toml", ".py"):
            shutil.copy(path, place)
    return place


def test_the_page_has_a_diff_of_each_kind():
    assert list(DIFFS) == list(FILES)


@pytest.mark.parametrize("title", DIFFS)
def test_it_applies_by_itself(title, tree):
    apply(title, tree, "--check")


def test_the_command_of_the_page_applies_one(tree):
    (command,) = re.findall(r"^awk .*$", PAGE, re.MULTILINE)
    place = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(
        ["sh", "-c", f"{command} --numstat"], cwd=tree, env=place, text=True, capture_output=True
    )
    assert not done.returncode, done.stderr
    found = {line.split("\t")[2]: int(line.split("\t")[0]) for line in done.stdout.splitlines()}
    assert found == lines(DIFFS["A method"])


@pytest.mark.parametrize("title", DIFFS)
def test_it_costs_what_contributing_says(title):
    count = lines(DIFFS[title])
    assert sum(not file.startswith("docs/") for file in count) == FILES[title]
    assert cost(title) in (ROOT / "CONTRIBUTING.md").read_text().splitlines()


@pytest.mark.slow
def test_with_all_of_them_the_structure_stands_and_they_work(tree):
    for title in DIFFS:
        apply(title, tree)
    there = os.environ | {"PYTHONPATH": str(tree)}
    run = lambda *words: subprocess.run(  # noqa: E731
        [sys.executable, "-m", *words], cwd=tree, env=there, text=True, capture_output=True
    )
    for words in (("ruff", "check", "."), ("ruff", "format", "--check", ".")):
        done = run(*words)
        assert not done.returncode, done.stdout + done.stderr
    brought = {file for diff in DIFFS.values() for file in lines(diff) if file.startswith("tests/")}
    files = sorted(brought | {f"tests/{law}_test.py" for law in LAWS})
    done = run("pytest", "-q", "-k", CHOSEN, "tests/extending_uses.py", *files)
    assert not done.returncode, done.stdout[-4000:] + done.stderr

r"""Builds the documentation's site; a warning is an error.

    pip install -e '.[docs]'
    python docs/build.py build/site           # runs the notebooks, in minutes
    python docs/build.py build/site --plain   # shows them without what they print

Pages that are made of the code, or lie beside the folder, are written next to a copy of the others.
"""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile

import costs
import drawn
import pages

ROOT = pathlib.Path(__file__).parent.parent
BESIDE = ("CHANGELOG", "CONTRIBUTING", "SECURITY")  # pages that lie beside docs/


def source(folder: pathlib.Path) -> pathlib.Path:
    """The pages of the site in a folder: those of docs/, and the generated ones."""
    shutil.copytree(
        ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.pyc", "__pycache__", "zoo")
    )
    written = {"api": pages.api()}
    for name in BESIDE:
        written[name.lower()] = (ROOT / f"{name}.md").read_text().replace("](docs/", "](")
    for name, text in written.items():
        (folder / f"{name}.md").write_text(text)
    for page in folder.glob("*.md"):
        text = page.read_text()
        for name in BESIDE:
            text = re.sub(rf"\]\((\.\./)?{name}\.md", f"]({name.lower()}.md", text)
        page.write_text(_one_title(text))
    methods_page = folder / "methods.md"
    methods_page.write_text(re.sub(r"^### `(\w+)`\n", _about, methods_page.read_text(), flags=re.M))
    return folder


def _one_title(text: str) -> str:
    """The page with one title: the contents would have a page for each."""
    fences = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)  # every other one is code
    titles = 0
    for i in range(0, len(fences), 2):
        lines = fences[i].split("\n")
        for j, line in enumerate(lines):
            titles += line.startswith("# ")
            if titles > 1 and line.startswith(("# ", "## ")):
                lines[j] = f"#{line}"
        fences[i] = "\n".join(lines)
    return "".join(fences)


def _about(heading: re.Match) -> str:
    """The heading of a method, and below it its figure, what it is for, and what it costs."""
    name, cost = heading[1], costs.known().get(heading[1])
    parts = [f"{heading[0]}"]
    if name != "combine":
        method = costs.method(name)
        parts += [f"```{{raw}} html\n{drawn.svg(method, name=name)}\n```\n"]
    parts += [f"*When to use it*: {costs.when()[name]}\n"]
    if cost:
        parts += [
            f"*Cost*: {drawn.passes(method)}; {cost['gflops']} GFLOP an image of 224 pixels with "
            f"ViT-B/16, {cost['relative']} of [supervised](choosing.md).\n"
        ]
    return "\n".join(parts)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Builds the documentation's site.")
    parser.add_argument("output", help="folder that gets the site")
    parser.add_argument("--plain", action="store_true", help="do not run the notebooks")
    args = parser.parse_args()
    from sphinx.cmd.build import main as build

    with tempfile.TemporaryDirectory() as folder:
        made = source(pathlib.Path(folder) / "docs")
        options = ["-W", "--keep-going", "-q", "-b", "html"]
        options += ["-D", "nb_execution_mode=off"] * args.plain
        return build([*options, str(made), args.output])


if __name__ == "__main__":
    sys.exit(main())

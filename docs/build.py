r"""Builds the documentation's site; a warning is an error.

    pip install -e '.[docs]'
    python docs/build.py build/site           # runs the notebooks, in minutes
    python docs/build.py build/site --plain   # shows them without what they print

Pages that are made of the code, or lie beside the folder, are written next to a copy of the others.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

import pages

ROOT = pathlib.Path(__file__).parent.parent


def source(folder: pathlib.Path) -> pathlib.Path:
    """The pages of the site in a folder: those of docs/, and the generated ones."""
    shutil.copytree(
        ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.pyc", "__pycache__", "zoo")
    )
    written = {"troubleshooting": pages.troubleshooting(), "api": pages.api()}
    for name in ("CHANGELOG", "CONTRIBUTING"):
        written[name.lower()] = (ROOT / f"{name}.md").read_text().replace("](docs/", "](")
    for name, text in written.items():
        (folder / f"{name}.md").write_text(text)
    for page in folder.glob("*.md"):
        text = page.read_text()
        for name in ("CHANGELOG", "CONTRIBUTING"):
            text = text.replace(f"](../{name}.md", f"]({name.lower()}.md")
        page.write_text(text)
    return folder


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

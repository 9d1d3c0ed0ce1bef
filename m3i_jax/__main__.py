"""`m3i VERB --flags`, or `python -m m3i_jax VERB --flags`: the commands of the library."""

import ast
import importlib
import signal
import sys
from pathlib import Path

import m3i_jax

COMMANDS = Path(__file__).parent / "commands"


def verbs() -> dict[str, str]:
    """Verb -> what it does, in one line; read without importing."""
    files = sorted(COMMANDS.glob("[!_]*.py"))
    texts = {path.stem: ast.get_docstring(ast.parse(path.read_text())) for path in files}
    return {verb: text.partition("\n")[0] for verb, text in texts.items()}


def main() -> None:
    """Runs the command that the first word names, with the rest of the line."""
    # Until the command hears of Ctrl-C by itself it ends without a word, and without a traceback:
    # so little is imported before this line.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] in (["--version"], ["version"]):
        return print(f"m3i_jax {m3i_jax.__version__}")
    known = verbs()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print("m3i VERB --flags;  m3i VERB --help shows the flags of a verb, m3i --version ours\n")
        print("\n".join(f"  {verb:16}{title}" for verb, title in known.items()))
        return
    verb = sys.argv[1].replace("-", "_")
    if verb not in known:
        from m3i_jax.build import ConfigError
        from m3i_jax.spelling import nearest

        print(f"error: there is no 'm3i {sys.argv[1]}'{nearest(verb, known)}", file=sys.stderr)
        sys.exit(ConfigError.status)
    command = importlib.import_module(f"m3i_jax.commands.{verb}")
    sys.argv = [f"m3i {verb}", *sys.argv[2:]]
    command.run()


if __name__ == "__main__":
    main()

r"""Shows runs and results: one page of everything, or a table in the terminal.

    m3i report runs/mae                        # runs/mae/report.html
    m3i report runs/mae runs/m3i found.jsonl   # report.html here: models side by side
    m3i report runs/mae --serve                # the same page on http://127.0.0.1:8111, as it grows
    m3i report --table runs/mae found.jsonl    # one table of their results, the best marked

The page is one file that asks nobody for anything: what was trained, losses, information, health
and speed over steps, results with intervals, pictures by step, what `m3i analyze` has found. A
place is a work directory, or a file of results or findings (.jsonl). docs/report.md says how to
read it.
"""

import signal
from pathlib import Path
from typing import Annotated

from m3i_jax import cli
from m3i_jax.build import ConfigError, nearest
from m3i_jax.command_flags import switch, text, whole
from m3i_jax.commands import _runs as runs
from m3i_jax.ranges import Range

Port = Annotated[int, Range(0, 65535, why="0 is any that is free")]
WORKDIR = text("workdir", None, "The same as a place of one run.")
OUT = text("out", None, "The file; report.html in the work directory, of several places here.")
TABLE = switch("table", "Print a table of the results instead.")
SERVE = switch("serve", "Show the page on this machine alone, and anew as the runs go on.")
PORT = whole("port", 8111, "Of --serve; 0 = any that is free.", limits=Port)


def main(*places: str) -> None:
    """Reads what runs, evaluations and analyses have written, and shows it."""
    if places and WORKDIR.value:
        raise ConfigError("--workdir and places both say what is shown; give the places alone")
    ways = {"--table": TABLE.value, "--serve": SERVE.value, "--out": OUT.value}
    if len(chosen := [way for way, value in ways.items() if value]) > 1:
        raise ConfigError(f"{' and '.join(chosen)} are different ways to show it; choose one")
    places = places or (WORKDIR.value or runs.meant("report"),)
    for place in places:
        if not Path(place).exists():
            near = [str(run) for run in runs.there(Path(place).parent)]
            hint = nearest(place, near) if near else "; expected work directories or results.jsonl"
            raise ConfigError(f"there is no '{place}'{hint}")
    if TABLE.value:
        return print(table(places))
    if OUT.value and Path(OUT.value).is_dir():
        raise ConfigError(f"--out is '{OUT.value}', which is a folder; expected a file")
    if SERVE.value:
        return serve(places)
    from m3i_jax.analysis.report import page

    return print(page.write(places, out=OUT.value))


def table(places: tuple[str, ...]) -> str:
    """A row for each model on each data set, a column for each task."""
    from m3i_jax.evaluation import results, tables

    measured = [result for place in places for result in results.read(place)]
    if not measured:
        raise ConfigError(f"{', '.join(places)}: there are no results; m3i evaluate writes them")
    return tables.compared(measured)


def serve(places: tuple[str, ...]) -> None:
    """Answers with the page until it is interrupted."""
    from m3i_jax.analysis.report import serve as served

    with served.server(places, port=PORT.value) as server:
        print(f"http://{served.HOST}:{server.server_port}/ until Ctrl-C", flush=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def run() -> None:
    """The command."""
    cli.run(main, words=True)

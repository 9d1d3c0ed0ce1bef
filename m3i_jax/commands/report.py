r"""Draws a run, or compares what was measured: tables of results side by side.

    m3i report --workdir runs/m3i              # curves, a bar per encoder, and one page of it all
    m3i report runs/mae runs/m3i found.jsonl   # one table of their results, the best marked

The page is WORKDIR/report.html, with WORKDIR/report/{curves,probes}.png. A table has a row for each
model on each data set and a column for each task, in percent, with intervals of 95 %.
"""

from pathlib import Path

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import text

WORKDIR = text("workdir", "runs/m3i", "Work directory of a run.")


def main(*places: str) -> None:
    """Reads what runs and evaluations have written, and shows it."""
    if not places:
        from m3i_jax.analysis import page

        return print(page.write(WORKDIR.value))
    from m3i_jax.evaluation import results, tables

    for place in places:
        if not Path(place).exists():
            raise ConfigError(f"there is no '{place}'; expected work directories or results.jsonl")
    measured = [result for place in places for result in results.read(place)]
    if not measured:
        raise ConfigError(f"{', '.join(places)}: there are no results; m3i evaluate writes them")
    return print(tables.compared(measured))


def run() -> None:
    """The command."""
    cli.run(main, words=True)

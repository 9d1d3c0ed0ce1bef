r"""Draws a run: loss and probe curves, a bar per probed encoder, and one page that shows it all.

    python experiments/report.py --workdir runs/m3i

Writes WORKDIR/report/{curves,probes}.png and WORKDIR/report.html.
"""

from m3i_jax import cli
from m3i_jax.command_flags import text

WORKDIR = text("workdir", "runs/m3i", "Work directory of a run.")


def main() -> None:
    """Reads what the run has written, and draws it."""
    from m3i_jax.analysis import page

    print(page.write(WORKDIR.value))


def run() -> None:
    """The command."""
    cli.run(main)

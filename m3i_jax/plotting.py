"""How figures of papers look, which matplotlib draws: colours, style, and how they become files."""

import functools
from pathlib import Path

from m3i_jax.ordinary import written_by

# Okabe & Ito's colours, which the colour-blind can tell apart; yellow is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = (0, (4, 3))
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "xtick.color": "0.4",
    "ytick.color": "0.4",
    "grid.color": "0.92",
}


def save_figure(figure, path: str | Path, *, title: str = "") -> Path:
    """Writes a figure with its title; a Figure without pyplot draws by Agg, without a display."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold", color="0.15")
    options = dict(format=Path(path).suffix.removeprefix(".") or "png", dpi=200, facecolor="white")
    return written_by(path, functools.partial(figure.savefig, **options))

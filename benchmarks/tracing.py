"""What it takes to trace and lower a step of each method, in seconds of processor time; a table.

    python benchmarks/tracing.py > table.md

The configs are digit_scenes', as they are, whose steps have the structure of the published ones.
Nothing is compiled or run.
"""

import argparse
import time

import jax

from m3i_jax import cli, shipped
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config


def row(name: str) -> str:
    """Seconds to assemble, trace and lower, and what the lowered program has."""
    marks = [time.process_time()]
    run = assemble(Config.of(cli.load(name).to_dict()), images=10_000, devices=jax.devices()[:1])
    marks.append(time.process_time())
    with jax.set_mesh(run.mesh):
        traced = run.compiled().trace(jax.tree.leaves(run.abstract), run.batch_shape())
        marks.append(time.process_time())
        text = traced.lower().as_text()
    marks.append(time.process_time())
    spans = (f"{end - start:.2f}" for start, end in zip(marks, marks[1:], strict=False))
    counts = text.count(" = "), text.count("stablehlo.dot_general")
    return "| " + " | ".join([name.rpartition("/")[2], *spans, *map(str, counts)]) + " |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=None)
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    names = given.configs or [n for n in shipped.names() if n.startswith("digit_scenes/")]
    row(names[0])  # what the first call of a process sets up is no method's
    print("| method | assemble, s | trace, s | lower, s | operations | products |")
    print("|---|---|---|---|---|---|")
    for name in names:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()

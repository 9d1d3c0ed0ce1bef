r"""What measures of attention and of tokens cost beside the forward pass that they look into.

    python benchmarks/attention_measures.py --encoder vit_b16 --batch 8 --rounds 5
    python benchmarks/attention_measures.py --measure attention_distance,cka:batch=8,norms

Every round encodes a batch without looking, then with all the measures, one after the other. The
ratio is that of processor time, which others on the machine disturb less than time by the clock.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASURES = "attention_distance,attention_entropy,head_divergence"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--encoder", default="vit_b16", help="by name, as it is drawn")
    add("--batch", type=int, default=8, help="images at once")
    add("--rounds", type=int, default=5, help="to time (default 5)")
    add("--measure", default=MEASURES, help="as m3i analyze has them, with a look at blocks")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT))
    report = measure(given.encoder, given.batch, given.rounds, given.measure)
    print(
        f"{report['encoder']}, {report['image']} px, batch {report['batch']}: "
        f"{report['plain']:.0f} ms of processor time per image to encode, "
        f"{report['looked']:.0f} ms with {report['measures']}: "
        f"{report['ratio']:.2f} forward passes ({report['low']:.2f} to {report['high']:.2f})"
    )
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(encoder: str, batch: int, rounds: int, asked: str = MEASURES) -> dict:
    """Medians over rounds, in milliseconds per image, and quartiles of the ratio."""
    import jax
    import numpy as np

    from m3i_jax.analysis import measures, rows
    from m3i_jax.evaluation import datasets, models, spec
    from m3i_jax.evaluation.evaluation import Evaluation

    evaluation = Evaluation(models.fresh({"name": encoder}), datasets.named("digit_scenes"))
    chosen = measures.create(spec.blocks(asked, what="--measure"), what="--measure")
    looks = {one.name: one.look(evaluation) for one in chosen}
    side, params = evaluation.image, evaluation.model.params
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    programs = [
        jax.jit(lambda p, x: evaluation.encode(p, x).tokens),
        jax.jit(lambda p, x: rows.packed(rows.looked(evaluation, looks, p, x))),
    ]
    times = [[], []]
    for program in programs:
        jax.block_until_ready(program(params, images))
    for _ in range(rounds):
        for program, spent in zip(programs, times, strict=True):
            start = time.process_time()
            jax.block_until_ready(program(params, images))
            spent.append((time.process_time() - start) / batch * 1e3)
    ratios = sorted(after / before for before, after in zip(*times, strict=True))
    return {
        "encoder": encoder,
        "image": side,
        "batch": batch,
        "rounds": rounds,
        "measures": ", ".join(measures.written(one) for one in chosen),
        "plain": statistics.median(times[0]),
        "looked": statistics.median(times[1]),
        "ratio": statistics.median(ratios),
        "low": ratios[len(ratios) // 4],
        "high": ratios[3 * len(ratios) // 4],
    }


if __name__ == "__main__":
    sys.exit(main())

r"""Weighted k-nearest-neighbour accuracy of a pre-trained encoder (DINO's protocol).

    python experiments/knn.py --workdir runs/m3i --baselines

Reports k = 10, 20, 100, 200; results go to eval.jsonl.
"""

import probe

from m3i_jax import cli

NEIGHBOURS = (10, 20, 100, 200)


def main() -> None:
    """Evaluates every subject, writes and prints what was found."""
    from m3i_jax.evaluation import knn

    def measure(train, test):
        found = knn.knn(train, test, k=NEIGHBOURS)
        return {f"eval/knn/top1_k{k}": v for k, v in found.items()}, {"temperature": 0.07}

    probe.evaluate(measure)


if __name__ == "__main__":
    cli.run(main)

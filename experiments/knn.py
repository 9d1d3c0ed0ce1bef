r"""Weighted k-nearest-neighbour accuracy of a pre-trained encoder (DINO's protocol; METHODS §8.2).

    python experiments/knn.py --workdir runs/m3i --baselines

Reports k = 10, 20, 100, 200; results go to eval.jsonl.
"""

from absl import flags

from m3i_jax import cli

WORKDIR = flags.DEFINE_string("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = flags.DEFINE_string("branch", "ema", "ema or online.")
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest sound one if not given.")
POOL = flags.DEFINE_enum("pool", "mean", ["mean", "cls"], "Patch tokens' mean, or class token.")
BASELINES = flags.DEFINE_bool("baselines", False, "Also the untrained encoder and raw pixels.")
TRAIN = flags.DEFINE_integer("train_limit", 0, "Training images, spread evenly; 0 = all.")
TEST = flags.DEFINE_integer("test_limit", 0, "Test images, spread evenly; 0 = all.")
NEIGHBOURS = (10, 20, 100, 200)


def main() -> None:
    """Evaluates every subject, writes and prints what was found."""
    from m3i_jax.evaluation import knn, report, subjects

    def measure(train, test):
        found = knn.knn(train, test, k=NEIGHBOURS)
        return {f"eval/knn/top1_k{k}": v for k, v in found.items()}, {"temperature": 0.07}

    results = subjects.evaluate(
        measure,
        WORKDIR.value,
        branch=BRANCH.value,
        step=STEP.value,
        baselines=BASELINES.value,
        pool=POOL.value,
        train_limit=TRAIN.value,
        test_limit=TEST.value,
    )
    print(report.table(results))


if __name__ == "__main__":
    cli.run(main)

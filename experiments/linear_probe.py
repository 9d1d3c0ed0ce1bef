r"""Linear probe of a pre-trained encoder on frozen features.

    python experiments/linear_probe.py --workdir runs/m3i --baselines
    python experiments/linear_probe.py --workdir runs/m3i/checkpoints/1500 --branch online \
        --recipe lars

--recipe lbfgs solves the logistic regression exactly; lars is the paper's recipe (METHODS §8.2).
--baselines also probes the untrained encoder and the raw pixels. Results go to eval.jsonl.
"""

from absl import flags

from m3i_jax import cli

WORKDIR = flags.DEFINE_string("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = flags.DEFINE_string("branch", "ema", "ema or online.")
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest sound one if not given.")
RECIPE = flags.DEFINE_enum("recipe", "lbfgs", ["lbfgs", "lars"], "How the classifier is trained.")
POOL = flags.DEFINE_enum("pool", "mean", ["mean", "cls"], "Patch tokens' mean, or class token.")
BASELINES = flags.DEFINE_bool("baselines", False, "Also the untrained encoder and raw pixels.")
TRAIN = flags.DEFINE_integer("train_limit", 0, "Training images, spread evenly; 0 = all.")
TEST = flags.DEFINE_integer("test_limit", 0, "Test images, spread evenly; 0 = all.")


def main() -> None:
    """Probes every subject, writes and prints what was found."""
    from m3i_jax.evaluation import linear, report, subjects

    def measure(train, test):
        if RECIPE.value == "lbfgs":
            found = linear.lbfgs(train, test)
        else:
            import jax

            found = linear.lars(jax.random.key(0), train, test)
        settings = {"recipe": RECIPE.value, "l2": found.l2, "iterations": found.iterations}
        return report.named("linear", top1=found.top1, top5=found.top5), settings

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

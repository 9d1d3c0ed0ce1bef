r"""Linear probe of a pre-trained encoder on frozen features.

    python experiments/linear_probe.py --workdir runs/m3i --baselines
    python experiments/linear_probe.py --workdir runs/m3i/checkpoints/1500 --branch online \
        --recipe lars --base_lr 100

--recipe lbfgs solves the logistic regression exactly; lars is the paper's recipe (M3I Table 9),
whose rate is per 16384 images of a batch: on far fewer images than ImageNet's it wants a higher
--base_lr. --baselines also probes the untrained encoder and the raw pixels. Results go to
eval.jsonl.
"""

import probe
from absl import flags

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Positive

RECIPE = flags.DEFINE_enum("recipe", "lbfgs", ["lbfgs", "lars"], "How the classifier is trained.")
BASE_LR = flags.DEFINE_float("base_lr", 3.2, "Rate of lars at a batch of 16384; M3I has 3.2.")
cli.hold(BASE_LR, Positive)


def main() -> None:
    """Probes every subject, writes and prints what was found."""
    if RECIPE.value != "lars" and BASE_LR.present:
        raise ConfigError("--base_lr is the rate of --recipe lars; lbfgs has none")
    from m3i_jax.evaluation import linear, report

    def measure(train, test):
        if RECIPE.value == "lbfgs":
            found, settings = linear.lbfgs(train, test), {}
        else:
            import jax

            settings = {"base_lr": BASE_LR.value}
            found = linear.lars(jax.random.key(0), train, test, **settings)
        settings |= {"recipe": RECIPE.value, "l2": found.l2, "iterations": found.iterations}
        return report.named("linear", top1=found.top1, top5=found.top5), settings

    probe.evaluate(measure)


if __name__ == "__main__":
    cli.run(main)

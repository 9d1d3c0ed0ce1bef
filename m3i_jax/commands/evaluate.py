r"""Evaluates a pre-trained encoder on frozen features.

    python experiments/evaluate.py --workdir runs/m3i --baselines
    python experiments/evaluate.py --workdir runs/m3i/checkpoints/1500 --branch online \
        --task linear:recipe=lars,base_lr=100 --task "knn:k=(1,20)"

--task NAME, or NAME,NAME, or NAME:SETTING=VALUE,...; several are measured on the same features.
--baselines also measures the encoder untrained, and the raw pixels. Results go to results.jsonl.
"""

import ast
import re
from typing import Any

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import one_of, repeated, switch, text, whole
from m3i_jax.ranges import CountOrOff

WORKDIR = text("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
TASK = repeated("task", ["linear,knn"], "What is measured, see above.")
BRANCH = text("branch", "ema", "ema or online.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
POOL = one_of("pool", "mean", ["mean", "cls"], "Patch tokens' mean, or class token.")
BASELINES = switch("baselines", "Also the untrained encoder and raw pixels.")
TRAIN = whole("train_limit", 0, "Training images, spread evenly; 0 = all.", limits=CountOrOff)
TEST = whole("test_limit", 0, "Test images, spread evenly; 0 = all.", limits=CountOrOff)

COMMA = re.compile(r",(?![^(\[]*[)\]])")  # not one inside brackets


def main() -> None:
    """Measures every model by every task; writes and prints what was found."""
    blocks = [block for text in TASK.value for block in parsed(text)]
    if not blocks:
        raise ConfigError("--task names no task; m3i list tasks shows them")
    from m3i_jax.evaluation import results, run, tasks
    from m3i_jax.parallel.signals import Preemption

    chosen = tasks.create(blocks, what="--task")
    with Preemption(holds=False):  # every model is written when it is measured
        found = run.evaluate(
            chosen,
            WORKDIR.value,
            branch=BRANCH.value,
            step=STEP.value,
            baselines=BASELINES.value,
            pool=POOL.value,
            train_limit=TRAIN.value,
            test_limit=TEST.value,
        )
    print(results.table(found))


def parsed(text: str) -> list[dict[str, Any]]:
    """Blocks of "linear,knn", or the one of "knn:k=(1,20),temperature=0.1".

    Raises:
      ConfigError: a setting without a value.
    """
    name, given, settings = text.partition(":")
    if not given:
        return [{"name": name.strip()} for name in text.split(",") if name.strip()]
    block: dict[str, Any] = {"name": name.strip()}
    for setting in filter(None, map(str.strip, COMMA.split(settings))):
        key, given, value = setting.partition("=")
        if not given:
            raise ConfigError(f"--task is '{text}', expected {name}:SETTING=VALUE,SETTING=VALUE")
        block[key.strip()] = _value(value.strip())
    return [block]


def _value(text: str) -> Any:
    """A number, a tuple or a list as Python writes them; any other text is itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def run() -> None:
    """The command."""
    cli.run(main)

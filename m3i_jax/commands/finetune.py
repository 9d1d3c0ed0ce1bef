r"""Fine-tunes any encoder on any labelled images, and says how often it is right.

    m3i finetune runs/mae --data FOLDER --workdir runs/finetuned
    m3i finetune vit/model.safetensors --data FOLDER --recipe mae --epochs 20 --batch 256
    m3i finetune runs/mae/export --data digit_scenes:length=2000 --recipe small \
        --config.optimizer.layer_decay=0.65 --config.validation.patience=5 --show

The model is a work directory, one of its checkpoints, an export, or a file of timm or Hugging Face
with its config.json; --data a folder with a subfolder for each category (train/ and val/), or a
source, with settings. Categories, encoder, sizes and positions come from these two; the recipe, a
config of `finetune/` by --recipe or --config, gives the rest, and --config.KEY=VALUE what is to be
other. The recipes segmentation, depth, pose and detection are of masks, depth, key points and
boxes, judged by mIoU, RMSE, OKS and AP. --grid tries all combinations of keys of the optimiser,
each in WORKDIR/grid, and chooses by the accuracy on a part of training (--holdout) that none learns
from; the best is then trained on all of it in WORKDIR, and grid.json says what was found. An
ordinary run, or several of them: the same command goes on where it was. The accuracy on the test
split is in the log, best.json names the best checkpoint, predictions.npz has its answers.
"""

import functools
import logging
import re
import sys
from pathlib import Path
from typing import Annotated, Any

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.command_flags import number, one_of, switch, text, whole
from m3i_jax.commands import _runs as runs
from m3i_jax.commands import _training as training
from m3i_jax.ranges import Count, HeldOut, LearningRate, Pixels, Range
from m3i_jax.shipped import RECIPES
from m3i_jax.training.config import Config

LOG = logging.getLogger(__name__)
DEFAULT = "small"
Epochs = Annotated[float, Range(0, 1e6, above=True)]

MODEL = text("model", None, "The same as a word: run, checkpoint, export or file of weights.")
DATA = text("data", None, "Folder or source, NAME:KEY=VALUE; the run's own if not given.")
RECIPE = one_of("recipe", DEFAULT, [*RECIPES], "Whose way to fine-tune.")
BRANCH = one_of("branch", "online", ["online", "ema"], "Of a work directory.")
IMAGE = whole("image", None, "Side in pixels; the encoder's own if not given.", limits=Pixels)
EPOCHS = number("epochs", None, "Length; the recipe's if not given.", limits=Epochs)
BATCH = whole("batch", None, "Images per step; the rate follows in proportion.", limits=Count)
LR = number("lr", None, "Peak rate of the last layer, for this batch.", limits=LearningRate)
GRID = text("grid", None, "Such as lr=(1e-4,1e-3),layer_decay=(0.75,0.85), see above.")
HOLDOUT = number("holdout", 0.1, "Share of training that --grid chooses on.", limits=HeldOut)
VALIDATION = switch("validation", "Whether there is a test split to count on.", on=True)
WORKDIR = text("workdir", None, "Where all of the run is kept; runs/MODEL-finetuned.")


def main() -> int:
    """Makes the config, then trains; with --grid, at all of its points before."""
    from m3i_jax.data.sources import folder_tree

    recipe = flags.FLAGS.config.to_dict()
    with folder_tree.listed_once():
        if not GRID.value:
            config = resolved(recipe)
            alone = not training.processes.DISTRIBUTED.value
            name = runs.of_model(MODEL.value)
            folder = WORKDIR.value or runs.placed(name, config, alone=alone)
            cli.on_interrupt(said=functools.partial(training.kept, folder, place.steps(folder)))
            status = training.train(Config.of(config), folder)
        else:
            folder = WORKDIR.value or runs.of_model(MODEL.value or "")
            status = searched(recipe, Path(folder))
        if not status:
            tell(Path(folder))
        return status


def tell(folder: Path) -> None:
    """Says what a run has come to, where all of it is, and what is next; of many processes one."""
    import jax

    from m3i_jax.evaluation import reached

    if jax.process_index():
        return
    cli.fresh_line()
    if said := reached.accuracy(folder):
        print(said, flush=True)
    print(reached.places(folder), file=sys.stderr, flush=True)


def searched(recipe: dict[str, Any], workdir: Path) -> int:
    """Trains every point of --grid in WORKDIR/grid, and the best of them in WORKDIR; the status.

    Raises:
      ConfigError: a grid of nothing, or without what tells the points apart.
    """
    from m3i_jax.evaluation import spec
    from m3i_jax.training import grid_search as grid

    if not VALIDATION.value:
        raise ConfigError("--grid chooses by the accuracy, and --novalidation asks for none")
    if training.processes.DISTRIBUTED.value:
        raise ConfigError("--grid starts one run after another, and --distributed is of one run")
    points = grid.points(spec.parsed(f"grid:{GRID.value}", what="--grid")[1])
    values = []
    for nth, point in enumerate(points, 1):
        folder = workdir / grid.FOLDER / point.name
        LOG.info("grid: point %d of %d, %s", nth, len(points), point.name)
        own = resolved(recipe, lr=point.settings.get(grid.LR))
        config = Config.of(grid.searching(own, point, HOLDOUT.value))
        if status := training.train(config, folder):
            return status
        values.append(grid.accuracy(folder))
    chosen = grid.best(points, values)
    LOG.info("grid: the best of %d is %s: %.4g", len(points), chosen.name, abs(max(values)))
    grid.write(workdir, points, values, chosen)
    settings = resolved(recipe, lr=chosen.settings.get(grid.LR))
    settings["optimizer"] = {**settings["optimizer"], **chosen.others()}
    return training.train(Config.of(settings), workdir)


def resolved(recipe: dict[str, Any], *, lr: float | None = None) -> dict[str, Any]:
    """The config of the flags, over a recipe; lr: in place of --lr."""
    if not MODEL.value:
        raise ConfigError(
            "name what is fine-tuned: m3i finetune MODEL, a work directory, an export or a file of "
            "weights; and --data, labelled images"
        )
    refuse_twice_said(sys.argv)
    from m3i_jax.evaluation import datasets
    from m3i_jax.training import fine_tuning

    origin = fine_tuning.origin(MODEL.value, branch=BRANCH.value)
    block, share = origin.data, origin.unreadable
    if DATA.value:
        block = datasets.settled(datasets.block(DATA.value))
        share = datasets.forgiven(block)
        block = datasets.tested(block) if VALIDATION.value else block
    elif not block:
        raise ConfigError("--data is needed: a folder of labelled images, or a source")
    recipe = recipe | forgiving(share, sys.argv)
    images, size = fine_tuning.counts(recipe["objective"], block)
    batch = BATCH.value or fine_tuning.fitting(recipe["batch"], images)
    if batch and not BATCH.value:
        LOG.info("batch: %d, not the recipe's %d, of %d images", batch, recipe["batch"], images)
    wishes = dict(image=IMAGE.value, epochs=EPOCHS.value, batch=batch)
    wishes["lr"] = LR.value if lr is None else lr
    config = fine_tuning.config(recipe, origin, block, size=size, **wishes)
    return config if VALIDATION.value else config | {"validation": {}}


def forgiving(share: float | None, argv: list[str]) -> dict[str, float]:
    """The key of the share of broken records that the data have, unless a command line says it."""
    said = any(re.match(r"--?config\.unreadable\b", word) for word in argv)
    return {} if said or share is None else {"unreadable": share}


def refuse_twice_said(argv: list[str]) -> None:
    """Refuses keys of a config that are what --model and --data say, and would be lost.

    Raises:
      ConfigError: there is one; the message names the flag in its place.
    """
    for word in argv:
        if match := re.match(r"--?config\.(init_from|data)\b", word):
            flag = {"init_from": "--model", "data": "--data"}[match[1]]
            raise ConfigError(f"config.{match[1]} is what {flag} says here; leave {word} out")


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(resolved(data.to_dict()))


def _with_recipe(argv: list[str]) -> list[str]:
    """The command line, with the config that --recipe stands for."""
    words = [word for word in argv if re.match(r"--?config(=|$)", word)]
    chosen = DEFAULT
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if match := re.fullmatch(r"--?recipe(?:=(.*))?", word):
            chosen = match[1] if match[1] is not None else after
    if words or chosen not in RECIPES:
        return argv
    return [argv[0], f"--config={RECIPES[chosen]}", *argv[1:]]


def run() -> None:
    """The command."""
    sys.argv = _with_recipe(sys.argv)
    cli.run(main, config=RECIPES[DEFAULT], schema=Config, show=show, words=MODEL)

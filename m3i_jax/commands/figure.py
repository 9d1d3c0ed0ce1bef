r"""Draws Figures 1 to 10 of the Dark Secrets of Masked Image Modeling, of any models.

    m3i figure supervised=runs/labels MAE=runs/mae --figure 1 --data fashion_mnist
    m3i figure DeiT=deit_b.safetensors MAE=mae_vit_b.pth --figure 1,2,3 --data photos/ \
        --image 224 --test_limit 2000
    m3i figure supervised=runs/a SimMIM=runs/b --output figures

TITLE=MODEL is a panel, its MODEL named as by m3i evaluate; without a title that is its
name. Figures 1 to 3 are distance, entropy and divergence of the heads of a ViT, 4 to 6 those of a
SwinV2, 7 its CKA, 8 to 10 those of the kernels of a RepLKNet: without --figure those of the
encoders that are given. Each is written as PNG and SVG; what was measured is in analysis.jsonl.
"""

from pathlib import Path
from typing import Any

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import repeated, text, texts, whole
from m3i_jax.commands import _subject as subject
from m3i_jax.ranges import CountOrOff

MODEL = repeated("model", [], "The same as a word: TITLE=MODEL, a panel, see above.")
FIGURE = texts("figure", [], "Numbers of the figures; all that these models have, if left out.")
OUTPUT = text("output", "figures", "Folder to write to.")
TEST = whole("test_limit", 1000, "Images, spread evenly; 0 = all.", limits=CountOrOff)


def main() -> None:
    """Measures what the figures need and draws them."""
    from m3i_jax.analysis import figures, run
    from m3i_jax.parallel.signals import Preemption

    numbers = [_number(word, figures.FIGURES) for word in FIGURE.value]
    if not MODEL.value:
        raise ConfigError(
            "no model is named to draw; expected m3i figure TITLE=MODEL …, such as MAE=runs/mae"
        )
    if subject.WORKDIR.value:
        raise ConfigError("--workdir is no panel; expected --model TITLE=MODEL alone")
    on, own = subject.tested(), dict(test_limit=TEST.value, split=subject.SPLIT.value)
    settings = subject.settings() | own
    if len(on) > 1:
        raise ConfigError(f"--data is said {len(on)} times; a figure is of one data set")
    folder = Path(OUTPUT.value)
    with Preemption(holds=False):
        panels = _models()
        for said in panels.values():  # all of them, before minutes go into the first
            run.require(*_asked(said, numbers), on=on, **settings)
        measured = {
            title: _measured(said, numbers, folder, on, settings) for title, said in panels.items()
        }
    for number in numbers or figures.FIGURES:
        found = {title: findings for title, (own, findings) in measured.items() if number in own}
        for path in figures.written(found, folder, numbers=[number]):
            print(path)


def _models() -> dict[str, Any]:
    """Title -> what makes the model; only one of them is in memory."""
    said = [titled(word) for word in MODEL.value]
    if len({title for title, _ in said}) < len(said):
        raise ConfigError("--model: two panels have one title; expected --model TITLE=MODEL")
    return dict(said)


def titled(word: str) -> tuple[str, str]:
    """("MAE", "runs/mae") of "MAE=runs/mae"; a model without a title is its own."""
    title, equals, model = word.partition("=")
    # What stands in front of the first setting of a model is no title: runs/mae:blocks=9.
    if not equals or ":" in title or Path(word).exists():
        return word.strip(), word.strip()
    if not title.strip() or not model.strip():
        raise ConfigError(f"--model is '{word}', expected TITLE=MODEL")
    return title.strip(), model.strip()


def _measured(
    said: str, numbers: list[int], folder: Path, on: list[Any], settings: dict[str, Any]
) -> tuple[list[int], list[Any]]:
    """The figures of one model, and the findings that they are drawn from."""
    from m3i_jax.analysis import figures, run

    chosen, model = _asked(said, numbers)
    own = numbers or figures.numbers(model)
    return own, list(run.analyzed(chosen, [model], on=on, place=folder, **settings))


def _asked(said: str, numbers: list[int]) -> tuple[list[Any], Any]:
    """The measures that the figures of a model are of, and the model."""
    from m3i_jax.analysis import figures, measures
    from m3i_jax.evaluation import named

    which = dict(branch=subject.BRANCH.value, step=subject.STEP.value)
    model = named.model(said, image=subject.IMAGE.value, **which)
    wanted = [figures.FIGURES[number].measure for number in numbers or figures.numbers(model)]
    return measures.create([{"name": name} for name in dict.fromkeys(wanted)]), model


def _number(word: str, known: dict[int, Any]) -> int:
    if not word.strip().isdigit() or int(word) not in known:
        raise ConfigError(f"--figure is '{word}', expected numbers from 1 to {max(known)}")
    return int(word)


def run() -> None:
    """The command."""
    cli.run(main, words=MODEL)

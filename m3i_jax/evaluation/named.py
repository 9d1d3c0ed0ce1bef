"""What a flag names: models to evaluate."""

import difflib
import re
from pathlib import Path
from typing import Any

from m3i_jax import encoders
from m3i_jax.build import ConfigError, nearest
from m3i_jax.checkpoints import weights
from m3i_jax.evaluation import foreign, models, spec, surgery
from m3i_jax.evaluation.models import Model

UNTRAINED = "untrained:"
STEP = re.compile(r"(?P<path>.+?)(?:@(?P<step>\d+))?(?:#(?P<branch>\w+))?")


def model(
    text: str, *, branch: str = "ema", step: int | None = None, image: int | None = None
) -> Model:
    """The model of a text.

        runs/mae   runs/mae@5000   runs/mae#online   runs/mae/checkpoints/5000   of a run
        runs/mae/export   vit/model.safetensors   mae_vit_b.pth:part=model       of a file
        untrained:vit_b16   untrained:vit_b16:patch=8,seed=1   untrained:runs/mae
        runs/mae:blocks=9   runs/mae:sampled=(2,5,9)     with blocks taken out, see `surgery`
        runs/mae:without_block=3   runs/mae:without_head=(3,2)
        pixels

    Args:
      text: as above; other settings behind a file are those of `foreign.of_file`.
      branch, step: of a run, where the text does not say them.
      image: side of the images, None = the model's own.

    Raises:
      ConfigError: there is none such; the message names the nearest.
    """
    if text.strip() == models.PIXELS:
        return models.RAW._replace(image=image or 0)
    if text.startswith(UNTRAINED):
        return _untrained(text.removeprefix(UNTRAINED), image)
    name, settings, operation = _parted(text)
    name, branch, step = _place(name, branch, step, text=text)
    if weights.is_file(name):
        return surgery.operated(foreign.of_file(name, image=image, **settings), operation)
    if settings:
        raise ConfigError(f"--model is '{text}', but settings are of files, and '{name}' is none")
    restored = models.restore(name, branch=branch, step=step, image=image)
    return surgery.operated(restored, operation)


def check(text: str, *, branch: str = "ema", step: int | None = None) -> None:
    """Refuses a text that names nothing that is there, before any model is read; see `model`.

    Raises:
      ConfigError: there is none such; the message names the nearest.
    """
    if text.strip() == models.PIXELS:
        return
    name = _parted(text.removeprefix(UNTRAINED))[0]
    if text.startswith(UNTRAINED):
        if not _is_path(name):
            _require_encoder(name)
            return
        branch, step = "ema", None  # it is of the run, whose branches are of one shape
    name, branch, step = _place(name, branch, step, text=text)
    if not weights.is_file(name):
        models.placed(name, branch=branch, step=step)


def _is_path(name: str) -> bool:
    """Whether it is that of a run or of a file, with a step and a branch or without."""
    return Path(name).exists() or Path(STEP.fullmatch(name)["path"]).exists()


def _place(name: str, branch: str, step: int | None, *, text: str) -> tuple[str, str, int | None]:
    """The path that a name begins with, and the branch and the step behind it or else given."""
    match = STEP.fullmatch(name)
    if not Path(name).exists() and match and Path(match["path"]).exists():
        name, branch = match["path"], match["branch"] or branch
        step = int(match["step"]) if match["step"] else step
        if weights.is_file(name):
            raise ConfigError(f"--model is '{text}', but '{name}' is a file: it has no steps")
    if not Path(name).exists():
        raise ConfigError(f"--model: there is no '{name}'{_encoder(name) or _beside(name)}")
    return name, branch, step


def _parted(text: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name, the settings of a file, and what is taken out of the model."""
    name, settings = spec.parsed(text, what="--model")
    operation = {key: settings.pop(key) for key in surgery.SETTINGS if key in settings}
    # What changes nothing alone is a field of the encoder.
    alone = not any(key in operation for key in surgery.OPERATIONS)
    return (name, settings | operation, {}) if alone else (name, settings, operation)


def _untrained(text: str, image: int | None) -> Model:
    """An encoder of its name, of a run or of a file, with parameters as they are drawn."""
    name, settings, operation = _parted(text)
    if _is_path(name):
        trained = model(text, image=image)
        return models.untrained(trained)._replace(name=f"{UNTRAINED}{text}")
    _require_encoder(name)
    seed: Any = settings.pop("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ConfigError(f"--model: seed is {seed!r}, expected a whole number from 0 on")
    block = {"name": name, **settings, **({} if image is None else {"image": image})}
    fresh = models.fresh(block, seed=seed)._replace(name=f"{UNTRAINED}{text}")
    return surgery.operated(fresh, operation)._replace(name=fresh.name)


def _require_encoder(name: str) -> None:
    if name not in encoders.names():
        raise ConfigError(f"there is no encoder '{name}'{nearest(name, encoders.names())}")


def _encoder(name: str) -> str:
    """The untrained encoder that a name without a folder may mean; "" where it is like none."""
    close = difflib.get_close_matches(name, encoders.names(), n=1, cutoff=0.75)
    return f"; did you mean '{UNTRAINED}{close[0]}', as it is before training?" if close else ""


def _beside(name: str) -> str:
    """What else lies where a path was looked for."""
    folder = Path(name).parent
    there = [str(folder / path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return nearest(name, there) if there else "; expected a work directory or a file of weights"

"""One pass over the records of a split: what is said of each, at the pixels that it has."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np

from m3i_jax import geometry, normalize
from m3i_jax.build import ConfigError
from m3i_jax.data.originals import Original, originals
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.views.whole_images import kept_ratio, restored
from m3i_jax.evaluation.dense.goals import Goal, Intervals, Numbers
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.geometry import sliding
from m3i_jax.parallel import processes, sharding
from m3i_jax.ranges import Range
from m3i_jax.training.config import Config
from m3i_jax.types import Share

# (parameters, (B, h, w, 3) uint8) -> (B, h, w, D) float32, at the pixels of the views.
Program = Callable[[Any, Any], Any]
WAITING = 8  # batches of records of other sizes that wait for more of theirs


Side = Annotated[int, Range(1, 100_000, why="pixels")]
Pair = tuple[Side, Side]


class Way(NamedTuple):
    """How images are shown to a network, and its answers put together.

    base: long and short side that an image is fitted into, its ratio kept; None = its own size.
    window, stride: of a sliding-window test; None = all of the image at once.
    scales, flip: answers at several sizes, and to the mirror image, are averaged.
    """

    base: tuple[int, int] | None = None
    window: int | None = None
    stride: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @classmethod
    def of(cls, base: Pair | None, window: Pair | None, *, flip: bool) -> "Way":
        """base: long and short side.   window: side and stride of the windows of a test.

        Raises:
          ConfigError: windows with gaps between them, a short side that is the longer one.
        """
        side, stride = window or (None, None)
        if window and stride > side:
            raise ConfigError(f"window is {window}, side and stride: there are gaps between them")
        if base and base[0] < base[1]:
            raise ConfigError(f"base is {base}, expected the long side first")
        return cls(base and tuple(base), side, stride, flip=flip)


def base_of(config: Config) -> Pair | None:
    """Long and short side that a run's images were fitted into; None = they kept their size."""
    base = config.crops.get("base")
    return base and tuple(base)


class Tested(NamedTuple):
    """numbers, intervals: of all images.   images: how many said something."""

    numbers: Numbers
    intervals: Intervals
    images: int


def tested(
    predictor: Predictor,
    source: Source,
    goal: Goal,
    *,
    way: Way = Way(),
    batch: int = 16,
    guess: np.ndarray | None = None,
    seen: Callable[[Iterator[Original]], Iterator[Original]] = lambda rows: rows,
    program: Program | None = None,
    share: Share = Share(),
) -> Tested:
    """What a predictor is worth on all records that say something.

    batch: views of one size that are shown at once.  seen: goes round the pass, to say how far.
    program: `compiled` before; None compiles it.
    guess: (D,), said of every pixel; its headline is the measure "constant".
    share: every which records this process looks at, of whom all are judged together.

    Raises:
      NotMeasurable: no record says what the goal is held against.
    """
    made = []
    how = dict(way=way, batch=batch, seen=seen, program=program, share=share)
    for one, said in predictions(predictor, source, **how):
        if (row := goal.row(said, one.sample)) is None:
            continue
        constant = guess
        if guess is not None:
            constant = np.broadcast_to(guess, (*said.shape[:2], len(guess)))
            constant = goal.row(constant, one.sample)
        made.append((one.number, (row, constant)))
    if not (pairs := processes.by_number(made, share)):
        raise NotMeasurable(f"no record of '{source.name}' says its '{goal.view}'")
    rows, guessed = (list(column) for column in zip(*pairs, strict=True))
    numbers, intervals = goal.total(rows)
    if guess is not None:
        numbers = numbers | {"constant": goal.total(guessed)[0][goal.headline]}
    # No measure is a share of images, each right or wrong: only its own interval is one.
    return Tested(numbers, dict.fromkeys(numbers) | intervals, len(rows))


def predictions(
    predictor: Predictor,
    source: Source,
    *,
    way: Way = Way(),
    batch: int = 16,
    seen: Callable[[Iterator[Original]], Iterator[Original]] = lambda rows: rows,
    program: Program | None = None,
    share: Share = Share(),
) -> Iterator[tuple[Original, np.ndarray]]:
    """(record, (H, W, D) float32 at its pixels) of all records of a share, each once."""
    cut = functools.partial(kept_ratio, base=way.base, multiple=predictor.stride)
    answer = _answering(program or compiled(predictor, way), predictor.params, way, batch)
    for group in alike(seen(originals(source, cut=cut, share=share)), batch):
        said = answer(np.stack([one.view for one in group]))
        for one, values in zip(group, said, strict=True):
            yield one, restored(values, one.box, one.sample.image.shape[:2])


def compiled(predictor: Predictor, way: Way, *, mesh: sharding.Mesh | None = None) -> Program:
    """The program that shows views, or windows, which compiles once for each of their sizes.

    mesh: whose devices share the views of a batch, all of which every process gives and gets; None
      = where the parameters are.
    """

    def program(params, images):
        if mesh is not None:
            images = jax.lax.with_sharding_constraint(images, sharding.batch_sharding(mesh))

        def pixels(x):
            return geometry.bilinear(predictor.said(params, x), x.shape[1:3])

        # Normalised first: at another size, levels of grey would be rounded.
        scales = dict(scales=way.scales, multiple=predictor.stride)
        return geometry.averaged(pixels, **scales)(normalize.levels(images))

    return jax.jit(program, out_shardings=mesh and sharding.replicated(mesh))


def _answering(
    program: Program, params: Any, way: Way, batch: int
) -> Callable[[np.ndarray], np.ndarray]:
    """(n, h, w, 3) uint8, at most `batch` views -> (n, h, w, D) float32 at their pixels.

    Windows are put together here: of one size, so that images of all sizes share a program.
    """

    def whole(views):
        # Fewer than a batch are shown with some of them again, so that nothing compiles.
        padded = np.concatenate([views, np.repeat(views[:1], batch - len(views), axis=0)])
        return np.asarray(program(params, padded))[: len(views)]

    def once(views):
        return _in_windows(whole, views, way.window, way.stride) if way.window else whole(views)

    def answer(views):
        if not way.flip:
            return once(views)
        return (once(views) + once(views[:, :, ::-1])[:, :, ::-1]) / 2

    return answer


def _in_windows(
    answer: Callable[[np.ndarray], np.ndarray], views: np.ndarray, window: int, stride: int | None
) -> np.ndarray:
    """Answers to windows, their mean where several show a pixel, see `geometry.windows`."""
    height, width = (min(side, window) for side in views.shape[1:3])
    tops, lefts = (sliding.starts(side, window, stride or window) for side in views.shape[1:3])
    total, seen = 0.0, np.zeros((*views.shape[1:3], 1), np.float32)
    for top, left in itertools.product(tops, lefts):
        at = slice(top, top + height), slice(left, left + width)
        said = answer(views[:, *at])
        if not seen.any():
            total = np.zeros((*views.shape[:3], said.shape[-1]), np.float32)
        total[:, *at] += said
        seen[at] += 1
    return total / seen


def alike(rows: Iterator[Original], batch: int) -> Iterator[list[Original]]:
    """Records whose views have one size, at most so many of them at once, each once."""
    waiting: dict[tuple[int, ...], list[Original]] = {}
    for one in rows:
        group = waiting.setdefault(one.view.shape, [])
        group.append(one)
        if len(group) == batch:
            yield waiting.pop(one.view.shape)
        elif sum(map(len, waiting.values())) == WAITING * batch:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()

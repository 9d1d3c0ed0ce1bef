"""The schema of a config: what each of its blocks is the keywords of, and one walk that checks it.

`BLOCKS` says it once, for every block. `places` pairs the blocks that a config has with their
functions, whose annotations are the schema: `check` holds one to the other, and `training.show`
prints the same. Behind the check a block is a plain call, such as `Log(**config.log)`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from m3i_jax import augment, build, data, decoders, encoders, framework, methods, texts
from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.data.sources import mixture
from m3i_jax.data.views import kinds, rand_augment
from m3i_jax.interop import layouts
from m3i_jax.methods import compose
from m3i_jax.metrics.average_precision import PoseScores
from m3i_jax.metrics.depth import DepthScores
from m3i_jax.metrics.objects import ObjectScores
from m3i_jax.metrics.tracking import Got10kScores, LasotScores
from m3i_jax.parallel import sharding
from m3i_jax.ranges import Count, CountOrOff, Range
from m3i_jax.texts import Filled, OneOf, PatternOrNone, SomeOf
from m3i_jax.training import optimizer, schedules
from m3i_jax.training.config import Config
from m3i_jax.training.lengths import Length
from m3i_jax.training.spikes import Spikes
from m3i_jax.training.trackers import TRACKERS

Images = Annotated[int, Range(1, 2**24, why="features of all of them are in memory")]
Tracked = Annotated[str, OneOf(*TRACKERS)]
Branch = Annotated[str, OneOf("ema", "online")]  # of a work directory
# What a validation can be decided by, of what is told of an image; the first where none is named.
MEASURES = {
    "label": ("top1", "top5", "mean_per_class"),
    "mask": ("miou", "pixel_accuracy", "mean_accuracy"),
    "depth": ("rmse", *(x for x in DepthScores._fields if x != "rmse")),
    "points": ("oks", "near", "pck", *PoseScores._fields),
    "objects": (*ObjectScores._fields, *(f"mask_{name}" for name in ObjectScores._fields)),
    "track": (*(x for x in Got10kScores._fields if x != "curve"), *LasotScores._fields),
}
METRICS = tuple(dict.fromkeys(name for names in MEASURES.values() for name in names))
ERRORS = ("rmse", "abs_rel", "sq_rel", "rmse_log", "log10", "silog")  # less is better; no shares
PREDICTIONS = ("npz", "jsonl", "none")
Layout = Annotated[str, OneOf(layouts.AUTO, *(layout.name for layout in layouts.LAYOUTS))]


class Log(NamedTuple):
    """What is logged of a run, and how often.

    every: steps from one line to the next.  images: from one set of pictures to the next; 0 = none.
    report: whether report.html is written with every monitor and set of pictures, and at the end.
    to: trackers that are told, too: "tensorboard", "wandb", "mlflow", "trackio", or several.
    """

    every: CountOrOff = 50
    images: CountOrOff = 0
    report: bool = True
    to: Annotated[str, SomeOf(*TRACKERS)] | tuple[Tracked, ...] = ("tensorboard",)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `to`."""
        return texts.split(self.to)


class Saves(NamedTuple):
    """When a run saves its state, and what it keeps.

    every: steps from one checkpoint to the next; 0 = none.  keep: the newest so many stay.
    keep_every: multiples of it stay for ever; 0 = none.
    compare: whether what several devices hold copies of is compared before it is saved.
    compare_every: steps from one such comparison to the next besides; 0 = before saves alone.
    local: folder on a disk of each machine for emergency saves in between; None = there are none.
    local_every: steps from one of these to the next.  local_keep: the newest so many stay.
    """

    every: CountOrOff = 1000
    keep: Annotated[int, Range(2, 10_000, why="one that is damaged leaves another")] = 2
    keep_every: CountOrOff = 0
    compare: bool = True
    compare_every: CountOrOff = 100
    local: Filled | None = None
    local_every: Count = 100
    local_keep: Annotated[int, Range(1, 2, why="older ones are of no use")] = 2


class Monitor(NamedTuple):
    """Evaluation beside the training: nearest neighbours in a bank, and tasks, online and averaged.

    every: steps from one to the next; 0 = off.  bank: images whose neighbours are sought among.
    queries: images that are asked about.  k: neighbours that vote.
    size: side of the images, 0 = config.image.
    ratio: of the short side that is kept, see `data.epoch`.
    tasks: evaluation tasks besides, as m3i evaluate --task says them: "linear", "knn:k=(1,20)".
    data: what these are measured on, as m3i evaluate --data says it; None = the run's own.
    most: share of the run's time that all of it may take; it looks less often, by whole multiples
      of `every`, where it would take more. 0 = as much as it takes.
    """

    every: CountOrOff = 0
    bank: Images = 1000
    queries: Images = 500
    k: Images = 20
    size: Annotated[int, Range(0, 4096)] = 0
    ratio: Annotated[float, Range(0.1, 1)] | None = None
    tasks: Filled | tuple[Filled, ...] = ()
    data: Filled | None = None
    most: Annotated[float, Range(0, 1, below=True)] = 0.03


class Validation(NamedTuple):
    """What the run's own head is worth on all of the test split, beside the training: fine-tuning.

    every: a length from one to the next, such as "1 epochs"; "0 steps" = at the end only.
    metric: what decides which is the best, whose checkpoint stays. Of a classifier the share of
      right answers (top1), of labels among the best five, or the mean of the classes' shares; of
      categories of pixels miou and others, of depth rmse and others, of key points oks, ap and
      others, of objects ap, mask_ap and others, of one that is followed ao and others. None = the
      first of these that the objective has.
    branch: whose metric decides; "ema" wants config.average.head.
    patience: so many in a row without a better one end the run; 0 = never.
    size: side of the images, 0 = config.image; of pixels, the short side that whole images are
      fitted to, 0 = that of config.crops.base, or their own.
    ratio: of the short side that is kept, see `data.epoch`; of pixels, all of it.
    batch: images at once.
    predictions: what the answers of the best are written to, "npz", "jsonl" or "none"; None = npz
      of a classifier, and no file of what is said of pixels.
    """

    every: Length = "1 epochs"
    metric: Annotated[str, OneOf(*METRICS)] | None = None
    branch: Branch = "online"
    patience: CountOrOff = 0
    size: Annotated[int, Range(0, 4096)] = 0
    ratio: Annotated[float, Range(0.1, 1)] | None = None
    batch: Annotated[int, Range(1, 2**16)] = 256
    predictions: Annotated[str, OneOf(*PREDICTIONS)] | None = None


class Averaging(NamedTuple):
    """head: whether what answers behind the encoder is averaged, too: classifier, dense heads."""

    head: bool = False


class Source(NamedTuple):
    """Where the weights of a frozen tower come from, and what is taken of it.

    path: a work directory, or a file of weights or its folder; "untrained" for random ones.
    branch: of a work directory.  tower: its name there.
    layout: of a file (interop.layouts).  ignore: pattern of parameters that it may have in excess,
      and of fields that may be other than what is said beside it.
    """

    path: Filled
    branch: Branch = "ema"
    tower: Filled = "image"
    layout: Layout = layouts.AUTO
    ignore: PatternOrNone = ""


class Origin(NamedTuple):
    """What the first state of a run starts from.

    path: a work directory, one of its checkpoint steps, or a file of weights or its folder.
    layout: of a file (interop.layouts).
    branch: of a work directory, that becomes the online network: "online" or "ema".
    ignore: pattern of the encoder's parameters that may be missing or extra, and of fields that
      may be other than what is said beside the file.
    """

    path: Filled
    layout: Layout = layouts.AUTO
    branch: Branch = "online"
    ignore: PatternOrNone = "mask_token$"


class Sharing(NamedTuple):
    """shares: how many of the first blocks are those of the encoder."""

    shares: Annotated[int, Range(0, 1000)] = 0


class Feeding(NamedTuple):
    """input: the tower, or the feature head, that the decoder reads."""

    input: Filled = "image"


class Aim(NamedTuple):
    """target: block of what is predicted, where the method leaves it open; see config.target."""

    target: Any = None  # looked at as a block of its own


class Tokenizer(NamedTuple):
    """file: a tokenizer.json to read; None trains a tokenizer on the captions."""

    file: Filled | None = None


WEIGHTINGS = {
    "constant": framework.constant,
    "scheduled": framework.scheduled,
    "gradient_norm": framework.gradient_norm,
}
ENCODERS = {name: encoders.variant(name) for name in encoders.names()}
DECODERS = {name: decoders.variant(name) for name in decoders.names()}
MODULE = ("parent", "name")  # fields of every Flax module, which no config says


class Block(NamedTuple):
    """What a block of a config is the keywords of.

    functions: a function, or {name: function}, of which the block names one.
    given: arguments that the program says, and no config.
    filled: {argument: in words, what the program says where the block does not}.
    lacking: the same for functions that have no default.
    read_elsewhere: the keys of the block that something else reads, as the fields of a record.
    empty: whether the block may be left empty, which asks for nothing.
    named: (block) -> name of its function, where no key says it.
    within: path of a block around it, and the name that this has to have.
    """

    functions: Callable | Mapping[str, Callable]
    given: Sequence[str] = ()
    filled: Mapping[str, str] = MappingProxyType({})
    lacking: Mapping[str, str] = MappingProxyType({})
    read_elsewhere: Callable | None = None
    empty: bool = False
    named: Callable[[Mapping[str, Any]], str] | None = None
    within: tuple[str, str] | None = None


# Outer blocks stand before what is in them; "*" is any name.
TARGET = Block(compose.TARGETS, empty=True)
METHOD = Block(methods.METHODS, read_elsewhere=Aim)
STEPS = ("total", "warmup")
OF_CONFIG = {"image": "config.image", "dtype": "config.dtype"}
BLOCKS: dict[str, Block] = {
    "data": Block(data.SOURCES, data.GIVEN),
    "data.of": Block(data.SOURCES, data.GIVEN, within=("data", "held_out")),
    "data.of.*": Block(
        data.SOURCES, data.GIVEN, read_elsewhere=mixture.Share, within=("data", "mixture")
    ),
    "crops": Block(
        kinds.VIEWS, ("size", "views", "local"), read_elsewhere=kinds.Kind, named=kinds.named
    ),
    "crops.rand_augment": Block(rand_augment.RandAugment, empty=True),
    "captions": Block(
        {"train": captions.train, "load": captions.load},
        ("captions", "path", "said_by"),
        read_elsewhere=Tokenizer,
        named=lambda block: "load" if block.get("file") else "train",
    ),
    "augment.*": Block(augment.photometric, ("key", "images", "normalize", "by_rows")),
    "augment.*.rand_augment": Block(augment.rand_augment, ("key", "images", "by_rows"), empty=True),
    "encoder": Block(ENCODERS, MODULE, OF_CONFIG),
    "towers.*": Block(ENCODERS, MODULE, OF_CONFIG, read_elsewhere=Sharing),
    "decoders.*": Block(
        DECODERS,
        MODULE,
        filled={"dtype": "config.dtype"},
        lacking={"out": "what the objective asks for"},
        read_elsewhere=Feeding,
    ),
    "objective": METHOD,
    "objective.target": TARGET,
    "objective.methods.*": METHOD,
    "objective.methods.*.target": TARGET,
    "target": TARGET,
    "average": Block(
        framework.ema,
        ("tower", "heads"),
        filled={"momentum": "what fits the length of the run"},
        read_elsewhere=Averaging,
    ),
    "weights.*": Block(Source),
    "init_from": Block(Origin, empty=True),
    "weighting": Block(WEIGHTINGS),
    "optimizer": Block(optimizer.offered(), optimizer.STEPS),
    "optimizer.schedule": Block(schedules.SCHEDULES, ("peak", "end", "stretch", *STEPS)),
    "spikes": Block(Spikes),
    "mesh": Block(sharding.axes, ("count",)),
    "log": Block(Log),
    "checkpoint": Block(Saves),
    "monitor": Block(Monitor),
    "validation": Block(Validation, empty=True),
}


class Place(NamedTuple):
    """A block of a config, with what it is the keywords of.

    path: such as "decoders.predictor".  pattern: its name in `BLOCKS`.  name: of the function.
    keywords, elsewhere: the block, without that name, for the function and for the other reader.
    """

    path: str
    block: Block
    name: str
    function: Callable
    keywords: dict[str, Any]
    elsewhere: dict[str, Any]

    def check(self) -> None:
        """Refuses a key or a value that neither the function nor the other reader takes."""
        kind, what, extra = self.block, f"config.{self.path}", self.block.read_elsewhere
        others = (*(["name"] if self.name else []), *(extra._fields if extra else ()))
        others += (*kind.filled, *kind.lacking)  # which a block may say as well
        provided = {*kind.given, *kind.filled, *kind.lacking} - {*self.keywords} | {*kind.given}
        build.check(self.function, self.keywords, what=what, given=provided, others=others)
        if extra:
            build.check(extra, self.elsewhere, what=what)


def places(config: Mapping[str, Any], *, patterns: Iterable[str] = BLOCKS) -> Iterator[Place]:
    """The blocks of a config that are there, one by one: those in a block after it.

    patterns: of the blocks that are looked for.

    Raises:
      ConfigError: a block names no function, or one that is not there.
    """
    for pattern in patterns:
        block = BLOCKS[pattern]
        if block.within and not _is(config, *block.within):
            continue
        for path, node in _matching(config, pattern.split(".")):
            if node or not (block.empty or node is None):
                yield _place(".".join(path), block, node)


def _is(config: Mapping[str, Any], path: str, name: str) -> bool:
    """Whether the block there names this function."""
    return any(
        isinstance(block, Mapping) and block.get("name") == name
        for _, block in _matching(config, path.split("."))
    )


def _matching(node: Any, pattern: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, what is there) of all that a pattern fits."""
    if not pattern:
        yield (), node
    elif isinstance(node, Mapping):
        first, *rest = pattern
        for name in [*node] if first == "*" else {first} & node.keys():
            yield from (((name, *path), inner) for path, inner in _matching(node[name], rest))


def _place(path: str, block: Block, keys: Any) -> Place:
    if path == "optimizer.schedule" and isinstance(keys, str):
        keys = {"name": keys}
    name, what = "", f"config.{path}"
    if not hasattr(keys, "keys"):
        raise ConfigError(f"{what} is {build.shown(keys)}, expected a block of keys")
    if block.named:
        name, function, keywords = "", block.functions[block.named(keys)], dict(keys)
    elif callable(block.functions):
        function, keywords = block.functions, dict(keys)
    else:
        function, keywords = build.choose(block.functions, keys, what=what)
        name = keys["name"]
    other_keys = block.read_elsewhere._fields if block.read_elsewhere else ()
    apart = {key: keywords.pop(key) for key in other_keys if key in keywords}
    return Place(path, block, name, function, keywords, apart)


def check(config: Config) -> None:
    """Raises ConfigError for keys and values that no function takes, in any block of a config.

    Nothing is opened, and nothing slow is loaded: data alone can take minutes.
    """
    plain = config.to_dict()
    with build.knowing(plain):
        for place in places(plain):
            place.check()
    kinds.of(config.crops, size=config.image, views=("a",))
    _check_numbers(config)


def _check_numbers(config: Config) -> None:
    """Refuses numbers that contradict each other."""
    monitor, saves = Monitor(**config.monitor), Saves(**config.checkpoint)
    if monitor.every and monitor.k > monitor.bank:
        raise ConfigError(
            f"config.monitor.k is {monitor.k}, expected at most its bank of {monitor.bank} images"
        )
    if saves.keep_every and not saves.every:
        raise ConfigError(
            f"config.checkpoint.keep_every is {saves.keep_every}, but nothing is kept: every is 0"
        )

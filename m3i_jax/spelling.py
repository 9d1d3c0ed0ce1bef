"""Which name was meant: by letters, by what others call the same thing, by where it belongs."""

import re
from collections.abc import Iterable

# What papers and other libraries say: ours, the likeliest first.
ALSO = {
    "learning_rate": ("lr", "base_lr"),
    "peak_lr": ("lr",),
    "max_lr": ("lr",),
    "base_learning_rate": ("base_lr",),
    "blr": ("base_lr",),
    "min_lr": ("end_lr",),
    "final_lr": ("end_lr",),
    "warmup_lr": ("start",),
    "wd": ("weight_decay",),
    "decay": ("weight_decay",),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "betas": ("b1",),
    "epsilon": ("eps",),
    "gradient_clip": ("clip",),
    "clip_grad": ("clip",),
    "grad_clip": ("clip",),
    "max_grad_norm": ("clip",),
    "clip_norm": ("clip",),
    "lr_schedule": ("schedule",),
    "scheduler": ("schedule",),
    "layerwise_decay": ("layer_decay",),
    "llrd": ("layer_decay",),
    "trust_coefficient": ("trust",),
    "batch_size": ("batch",),
    "global_batch_size": ("batch",),
    "bs": ("batch",),
    "accumulation": ("accumulate",),
    "accumulation_steps": ("accumulate",),
    "accum_iter": ("accumulate",),
    "epochs": ("duration",),
    "num_epochs": ("duration",),
    "steps": ("duration",),
    "total_steps": ("duration",),
    "max_steps": ("duration",),
    "num_steps": ("duration",),
    "warmup_epochs": ("warmup",),
    "warmup_steps": ("warmup",),
    "image_size": ("image",),
    "img_size": ("image",),
    "input_size": ("image",),
    "resolution": ("image",),
    "model": ("encoder",),
    "backbone": ("encoder",),
    "arch": ("encoder", "name"),
    "architecture": ("encoder", "name"),
    "type": ("name",),
    "method": ("objective",),
    "loss": ("objective",),
    "dataset": ("data",),
    "workers": ("threads",),
    "num_workers": ("threads",),
    "precision": ("dtype",),
    "random_seed": ("seed",),
    "augmentation": ("augment",),
    "augmentations": ("augment",),
    "ema": ("average",),
    "ema_decay": ("momentum",),
    "ema_momentum": ("momentum",),
    "pretrained": ("init_from",),
    "resume": ("init_from",),
    "save_every": ("every",),
    "interval": ("every",),
    "patch_size": ("patch", "stride"),
    "window_size": ("window",),
    "hidden_size": ("width", "hidden"),
    "hidden_dim": ("hidden", "width"),
    "embed_dim": ("width", "embed", "out"),
    "dim": ("width", "out"),
    "channels": ("width",),
    "num_layers": ("depth", "depths", "layers"),
    "layers": ("depth", "depths"),
    "num_heads": ("heads",),
    "drop_path_rate": ("drop_path",),
    "stochastic_depth": ("drop_path",),
    "droppath": ("drop_path",),
    "dropout": ("attention_dropout", "drop_path"),
    "drop_rate": ("drop_path",),
    "attn_drop": ("attention_dropout",),
    "act": ("activation",),
    "layer_norm_eps": ("eps",),
    "init_values": ("layer_scale",),
    "vocab_size": ("vocabulary", "codes"),
    "max_length": ("length",),
    "out_dim": ("out",),
    "output_dim": ("out",),
    "mask_ratio": ("hidden",),
    "masking_ratio": ("hidden",),
    "tau": ("temperature",),
    "queue_size": ("size",),
    "smoothing": ("label_smoothing",),
    "local_crops": ("local",),
    "n_local": ("local",),
    "num_prototypes": ("out",),
    "codebook_size": ("codes",),
    "num_classes": ("size",),
    "path": ("root",),
    "folder": ("root",),
    "data_dir": ("root",),
    "hflip": ("flip",),
    "min_scale": ("scale",),
    "gaussian_blur": ("blur",),
    "color_jitter": ("jitter",),
}
# Where names are at home that are looked for in other blocks.
HOMES = {
    name: f"config.{name}"
    for name in (
        "batch", "duration", "warmup", "seed", "image", "dtype", "accumulate", "epoch_size",
        "threads", "unreadable", "data", "crops", "captions", "augment", "encoder", "towers",
        "decoders", "objective", "target", "average", "weights", "init_from", "weighting",
        "optimizer", "mesh", "log", "checkpoint", "monitor",
    )
} | {
    name: f"config.{block}.{name}"
    for block, names in {
        "optimizer": "lr base_lr end_lr weight_decay clip b1 b2 schedule layer_decay lr_scale "
        "freeze no_decay trust late",
        "encoder": "patch width depth drop_path mlp_ratio layer_scale positions remat",
        "objective": "hidden temperature local label_smoothing mixup cutmix negative_weight",
        "crops": "scale ratio flip local_size local_scale rand_augment repeats",
        "data": "root",
        "augment.a": "blur solarize grayscale jitter hue brightness contrast saturation",
        "average": "momentum",
        "mesh": "fsdp tensor",
        "checkpoint": "keep keep_every",
        "captions": "vocabulary",
    }.items()
    for name in names.split()
}  # fmt: skip
MOST = 40  # names in a sentence


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the likeliest of `names`, or a list of them."""
    names = sorted(set(map(str, names)))
    if meant := likeliest(str(name), names):
        return f"; did you mean '{meant}'?"
    more = ", …" if len(names) > MOST else ""
    return f"; there are: {', '.join(names[:MOST]) or 'none'}{more}"


def meant(key: str, names: Iterable[str], *, block: str = "") -> str:
    """`nearest` for a key of a config, which may belong into another block than `block`."""
    names = list(names)
    return ("" if likeliest(key, names) else elsewhere(key, block=block)) or nearest(key, names)


def likeliest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was meant: one slip away, another word for it, or most alike."""
    names, plain = list(names), _plain(name)
    far = {other: _distance(plain, _plain(other)) for other in names}
    alike = sorted(names, key=lambda other: (far[other], -_common(plain, _plain(other)), other))
    first = alike[0] if alike and plain else None
    if first and far[first] <= 1 and len(first) > 1:
        return first
    if words := [word for word in ALSO.get(plain, ()) if word in names]:
        return words[0]
    close = first and far[first] <= max(1, max(len(first), len(plain)) // 3)
    if close and far[first] < len(first):
        return first
    begun = max(names, key=lambda other: _ahead(plain, _plain(other)), default="")
    least = max(3, 3 * min(len(plain), len(begun)) // 4)
    return begun if _ahead(plain, _plain(begun)) >= least else None


def elsewhere(name: str, *, block: str = "") -> str:
    """`; did you mean config.optimizer.lr?` for a name, or a word for it, of another block.

    block: how the one is called in which it is unknown, such as "encoder 'swin_v2_t'".
    """
    plain, here = _plain(name), re.findall(r"\w+", block)
    for word in (plain, *ALSO.get(plain, ())):
        home = HOMES.get(word, "config")
        if home.split(".")[1:] and home.split(".")[1] not in here:
            return f"; did you mean {home}?"
    return ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip()


def _common(a: str, b: str) -> float:
    """How much two words have in common: their letters, and among equals their beginning."""
    letters = sum(min(a.count(letter), b.count(letter)) for letter in set(a))
    return letters + _ahead(a, b) / 8


def _ahead(a: str, b: str) -> int:
    """How many letters two words begin with alike."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _distance(a: str, b: str) -> int:
    """Letters to insert, delete, replace or swap with their neighbour between two words.

    Damerau (1964), in the form that edits no letter twice. Long words are cut: no name is long.
    """
    a, b = a[:64], b[:64]
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                row[-1] = min(row[-1], older[j - 2] + 1)
    return row[-1]

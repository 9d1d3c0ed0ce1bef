"""The training step's equivalents in plain torch and in Hugging Face transformers.

"torch" and "hf" are run eagerly, "compiled" is "torch" through torch.compile. All do forward,
backward, clipping and AdamW of a ViT classifier or of a masked autoencoder, at the sizes of a
config. Their images are float arrays, normalised beforehand; ours start from uint8.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.training.config import Config

ROWS = ("classification", "mae")
NEEDS = {"torch": ("torch",), "compiled": ("torch",), "hf": ("torch", "transformers")}
MODELS = {
    "torch": "torch_vit",
    "compiled": "torch_vit",
    "hf": "hf_vit",
}  # files beside this one; they import torch


class Sizes(NamedTuple):
    """What a peer has to know of a config; `decoder_*` and `hidden` are MAE's."""

    row: str
    batch: int
    image: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float
    classes: int = 0
    decoder_width: int = 0
    decoder_depth: int = 0
    decoder_heads: int = 0
    hidden: float = 0.0


class Peer(NamedTuple):
    """A peer: its step() -> loss, a tensor that may still be computed."""

    name: str
    step: Callable[[], Any]
    parameters: int
    versions: dict[str, str]


def check_installed(kind: str) -> None:
    """Refuses a peer whose library is missing."""
    missing = [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"--vs {kind} needs {' and '.join(missing)}, which is not installed here")


def check_row(config: Config) -> None:
    """Refuses a config that has no peer."""
    row = config.objective.get("name")
    if row not in ROWS:
        raise ConfigError(f"--vs has peers for {' and '.join(ROWS)}, not for '{row}'")
    encoder = _encoder(config)
    if type(encoder).__name__ != "ViT" or not encoder.class_token or encoder.layer_scale:
        raise ConfigError(
            "--vs has peers for a plain ViT with a class token, not for "
            f"config.encoder '{config.encoder['name']}'"
        )
    if row == "mae" and config.decoders["image"]["name"] != "infill":
        raise ConfigError("--vs has a peer for MAE's decoder 'infill' only")


def comparable(config: Config) -> Config:
    """The config with what peers do not have left out.

    No augmentation and no drop path; classes are read from the class token by a linear map.
    """
    changes = dict(augment={}, encoder=dict(config.encoder) | dict(drop_path=0.0))
    if config.objective["name"] == "classification":
        changes["decoders"] = dict(category=dict(name="linear", pool="class"))
    return replace(config, **changes)


def sizes(config: Config) -> Sizes:
    """Sizes of a config that `check_row` accepted."""
    encoder = _encoder(config)
    common = (config.objective["name"], config.batch, config.image, encoder.patch, encoder.width)
    common += (encoder.depth, encoder.heads, encoder.mlp_ratio)
    if config.objective["name"] == "classification":
        return Sizes(*common, classes=config.towers["category"]["size"])
    decoder = dict(width=512, depth=8, heads=16) | config.decoders["image"]
    return Sizes(
        *common,
        decoder_width=decoder["width"],
        decoder_depth=decoder["depth"],
        decoder_heads=decoder["heads"],
        hidden=config.objective.get("hidden", 0.75),
    )


def build(kind: str, config: Config, *, dtype: str, threads: int, device: str) -> Peer:
    """The peer with its data and optimiser; `kind` "compiled" is "torch" through torch.compile."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    size, models = sizes(config), importlib.import_module(MODELS[kind])
    model = (models.Mae if size.row == "mae" else models.Classifier)(size).to(device).train()
    run = torch.compile(model) if kind == "compiled" else model
    rng = np.random.default_rng(0)
    shape = (size.batch, 3, size.image, size.image)
    images = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)
    labels = torch.from_numpy(rng.integers(0, max(1, size.classes), size.batch)).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), 1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )
    clip = config.optimizer.get("clip")

    def step() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = run(images) if size.row == "mae" else run(images, labels)
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    parameters = sum(p.numel() for p in model.parameters())
    versions = {name: importlib.import_module(name).__version__ for name in NEEDS[kind]}
    return Peer(kind, step, parameters, versions)


def _encoder(config: Config) -> Any:
    """The image tower's module, whose fields are the sizes."""
    block = dict(config.encoder)
    return encoders.create(
        block.pop("name"), **dict(image=config.image, dtype=config.dtype) | block
    )

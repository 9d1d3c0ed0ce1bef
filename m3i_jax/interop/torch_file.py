"""Torch files (.pth, .pt, .bin, .pkl), read as weights only: the one place that imports torch.

torch's reader of weights makes tensors and plain containers, and looks a name up in its own list
and in the caller's alone. The caller's has all other names of the file, and a stand-in for each:
whole modules can be read, and nothing is imported or called for them.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.interop.files import unwrapped
from m3i_jax.interop.rename import listed
from m3i_jax.interop.torch_module import StandIn, plain

# Before, a file made for it could break out of the reader (CVE-2025-32434, CVE-2026-24747).
SAFE_SINCE = (2, 10)
SLACK = 2**20  # bytes by which a tensor may be larger than what the file has of it
# Where training programs keep the weights; without --part, the first that is there.
PARTS = ("model", "state_dict", "model_state_dict", "module")
# What torch's errors are about, between advice to read the file unsafely.
REASON = re.compile(r"((?:Trying to|Unsupported|Can only|Only)\b.*?)(?:\. |\.?$)", re.MULTILINE)


def read(file: str | Path, *, part: str = "") -> dict[str, np.ndarray]:
    """The state dict of a torch file, as name -> array.

    Args:
      file: what torch.save wrote, a state dict or a whole module; nothing in it is executed.
      part: which of several state dicts, such as "teacher"; slash-joined where they are nested.

    Raises:
      ConfigError: no torch, one that is not safe, no such part, or anything but tensors.
    """
    if Path(file).exists() and not Path(file).is_file():  # a pipe would be waited for
        raise ConfigError(f"'{file}' is no ordinary file")
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            "reading a torch file needs PyTorch: pip install torch (the parity extra has it)"
        ) from error
    version = tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2])
    if version < SAFE_SINCE:
        raise ConfigError(
            f"torch {torch.__version__} can be made to run code by a file; install 2.10 or newer"
        )
    try:
        content = plain(_content(torch, file))
    except Exception as error:  # whatever is wrong, the file cannot be read
        raise ConfigError(
            f"'{file}' cannot be read as weights only: {_reason(error, file)}"
        ) from error
    chosen = _chosen(content, part, file)
    return unwrapped({name: _array(x, f"'{file}' keeps '{name}'") for name, x in chosen.items()})


def _content(torch: Any, file: str | Path) -> Any:
    """What torch.save wrote, with a stand-in for every name that torch does not hold safe itself.

    Before torch 1.6 files were no archives; of those, torch itself reads state dicts.
    """
    named = torch.serialization.get_unsafe_globals_in_checkpoint
    names = named(file) if zipfile.is_zipfile(file) else ()
    with torch.serialization.safe_globals([(StandIn, name) for name in names]):
        return torch.load(file, map_location="cpu", weights_only=True)


def _reason(error: Exception, file: str | Path) -> str:
    """What is wrong with the file, in one line."""
    said = REASON.search(str(error))
    reason = said[1] if said else str(error).strip().split("\n")[0]
    old = Path(file).is_file() and not zipfile.is_zipfile(file)
    hint = "; of files in the format before torch 1.6 only state dicts can be read"
    return reason + hint * old


def _chosen(content: Any, part: str, file: str | Path) -> dict[str, Any]:
    """The state dict in what a file holds, without what is no tensor."""
    for name in filter(None, part.split("/")):
        if not isinstance(content, Mapping) or name not in content:
            names = content.keys() if isinstance(content, Mapping) else ()
            raise ConfigError(f"'{file}' has no part '{name}'{nearest(name, map(str, names))}")
        content = content[name]
    if not part and isinstance(content, Mapping):
        nested = [name for name in PARTS if isinstance(content.get(name), Mapping)]
        content = content[nested[0]] if nested else content
    tensors = {}
    if isinstance(content, Mapping):
        strange = [str(k) for k, x in content.items() if isinstance(x, StandIn)]
        tensors = {str(k): x for k, x in content.items() if hasattr(x, "detach")}
        inner = [str(k) for k, x in content.items() if isinstance(x, Mapping) and x]
        if not tensors and inner:
            raise ConfigError(f"'{file}' holds several parts; name one with --part: {inner}")
        if tensors and strange:
            raise ConfigError(f"'{file}' holds objects among its weights: {listed(strange)}")
    if not tensors:
        raise ConfigError(f"'{file}' holds no weights{f' in {part}' if part else ''}")
    return tensors


def _array(tensor: Any, what: str) -> np.ndarray:
    """On the host; bfloat16, which NumPy lacks, as float32; of fewer bits nothing is known."""
    tensor = type(tensor).detach(tensor)  # a file may set attributes of its own on a tensor
    if tensor.is_meta or str(tensor.layout) != "torch.strided":
        raise ConfigError(f"{what} without its numbers, or sparse; save all of them")
    if tensor.nbytes > tensor.untyped_storage().nbytes() + SLACK:  # a view of few numbers
        raise ConfigError(f"{what} as {tensor.nbytes} bytes, of which the file has fewer")
    tensor = tensor.cpu()
    if tensor.is_quantized or tensor.is_floating_point() and tensor.element_size() < 2:
        raise ConfigError(
            f"{what} as {tensor.dtype}, which is quantised; save the weights as float32, float16 "
            "or bfloat16"
        )
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()

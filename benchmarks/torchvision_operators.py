"""What torchvision looks for when it is imported, where its own library cannot be loaded."""

import importlib.util
import pathlib
from typing import Any


def declared() -> Any:
    """Declares its operators; what is returned must live as long as torchvision does.

    PyPI has torchvision for one kind of torch only; beside a torch for the CPU its library of
    operators, which neither transforms nor models call, fails to load, and then the import of all
    of it. None where there is no torchvision.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or importlib.util.find_spec("torch") is None:
        return None
    import torch
    from torch import library

    try:
        for file in pathlib.Path(found.origin).parent.glob("_C*.so"):
            torch.ops.load_library(file)
            return file
    except OSError:
        pass
    operators = library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return operators

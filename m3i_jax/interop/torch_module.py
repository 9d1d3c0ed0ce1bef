"""Whole modules in torch files: their weights, while nothing that such a file names is looked up.

`torch.save(module)` writes the names of classes, and pickle calls what they lead to. Here a
`StandIn` takes the place of them all, and what their objects keep tells the state dict.
"""

from collections.abc import Mapping
from typing import Any

PLACES = ("_parameters", "_buffers", "_modules")


class StandIn:
    """In place of every class and function that a file names: takes what it is given, does nothing.

    Slots, as a file chooses the state: in a `__dict__` it would be attributes, which somebody may
    call (`__setstate__`, `detach`).
    """

    __slots__ = ("state",)

    def __new__(cls, *_: Any) -> "StandIn":
        """Whatever an object is made of."""
        stand_in = super().__new__(cls)
        stand_in.state = None
        return stand_in

    def __setstate__(self, state: Any) -> None:
        self.state = state


def plain(content: Any) -> Any:
    """What a file holds, with state dicts in place of whole modules."""
    if _is_module(content):
        return state_dict(content)
    if isinstance(content, Mapping):
        return {name: plain(x) for name, x in content.items()}
    return content


def state_dict(module: StandIn) -> dict[str, Any]:
    """Parameters and persistent buffers by dotted name, as the module's own `state_dict` has them.

    Raises:
      ValueError: one of its modules is something else.
    """
    if not _is_module(module):
        raise ValueError("a module in it has no parameters, buffers and modules")
    parameters, buffers, modules = (module.state[place] for place in PLACES)
    fleeting = module.state.get("_non_persistent_buffers_set", ())
    tensors = {**parameters, **{name: x for name, x in buffers.items() if name not in fleeting}}
    for child, inner in modules.items():
        if inner is not None:
            tensors |= {f"{child}.{name}": x for name, x in state_dict(inner).items()}
    return {name: x for name, x in tensors.items() if x is not None}


def _is_module(content: Any) -> bool:
    """Whether it stands for a module, as far as what it keeps can tell."""
    state = content.state if isinstance(content, StandIn) else None
    return isinstance(state, Mapping) and all(isinstance(state.get(p), Mapping) for p in PLACES)

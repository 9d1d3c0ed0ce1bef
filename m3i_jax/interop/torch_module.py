"""Whole modules in torch files: their weights, while nothing that such a file names is looked up.

`torch.save(module)` writes the names of classes, and pickle calls what they lead to. Here a
`StandIn` takes the place of them all, and what their objects keep tells the state dict.
"""

from collections.abc import Mapping
from typing import Any

MOST, LONGEST = 100_000, 500  # modules, letters of a name: far beyond any network's
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
    made: dict[int, Any] = {}  # a dict may be in a file twice, and so on in each of them

    def one(part: Any) -> Any:
        if _is_module(part):
            return state_dict(part)
        if not isinstance(part, Mapping):
            return part
        if id(part) not in made:
            made[id(part)] = {name: one(x) for name, x in part.items()}
        return made[id(part)]

    return one(content)


def state_dict(module: StandIn) -> dict[str, Any]:
    """Parameters and persistent buffers by dotted name, as the module's own `state_dict` has them.

    Raises:
      ValueError: one of its modules is something else, or they are more than any network has.
    """
    tensors: dict[str, Any] = {}
    todo = [("", module)]
    for _ in range(MOST):
        if not todo:
            return {name: x for name, x in tensors.items() if x is not None}
        prefix, module = todo.pop()
        if len(prefix) > LONGEST:
            raise ValueError(f"a module in it has a name of {len(prefix)} letters")
        if not _is_module(module):
            raise ValueError("a module in it has no parameters, buffers and modules")
        parameters, buffers, modules = (module.state[place] for place in PLACES)
        fleeting = module.state.get("_non_persistent_buffers_set", ())
        kept = {name: x for name, x in buffers.items() if name not in fleeting}
        tensors |= {f"{prefix}{name}": x for name, x in {**parameters, **kept}.items()}
        inner = [(f"{prefix}{name}.", child) for name, child in modules.items()]
        todo += [one for one in reversed(inner) if one[1] is not None]
    raise ValueError(f"it has more than {MOST} modules in each other")


def _is_module(content: Any) -> bool:
    """Whether it stands for a module, as far as what it keeps can tell."""
    state = content.state if isinstance(content, StandIn) else None
    return isinstance(state, Mapping) and all(isinstance(state.get(p), Mapping) for p in PLACES)

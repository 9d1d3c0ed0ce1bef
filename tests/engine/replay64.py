"""Two steps of a published recipe once more in float64: loss, gradients, optimiser, states."""

import re
from typing import Any, NamedTuple

import networks64 as net
import numpy as np
import torch

STATISTICS = re.compile(r"(^|/)(mean|var)$")


class StepResult(NamedTuple):
    """What is compared behind each step; all but numbers are {path: array}."""

    loss: float
    norm: float
    params: dict
    ema: dict
    moments: dict
    slots: dict


def flat(tree, prefix=""):
    """{slash-joined path: leaf} of nested dicts."""
    found = {}
    for name, child in tree.items():
        path = f"{prefix}{name}"
        found |= flat(child, path + "/") if isinstance(child, dict) else {path: child}
    return found


def nested(leaves):
    """Inverse of `flat`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *above, name = path.split("/")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[name] = leaf
    return tree


def tensors(leaves, *, grad=False):
    return {p: torch.tensor(np.float64(x), requires_grad=grad) for p, x in leaves.items()}


def followed(statistics, passes, prefix):
    """Running statistics behind the passes of a step, in their order, as PyTorch keeps them."""
    found = {}
    for path, seen in passes.items():
        for i, name in enumerate(("mean", "var")):
            place = f"{prefix}{path}/{name}"
            value = statistics[place]
            for batch in seen:
                value = 0.9 * value + 0.1 * batch[i].numpy()
            found[place] = value
    return found


def replay(
    played,
    loss,
    optimizer,
    *,
    momentum=None,
    frozen=r"(?!)",
    limits=(),
    averaged=True,
    followed_by=lambda slots, ema: slots,
):
    """[StepResult] of the steps that the engine made, from the state that it started from.

    loss: (params, ema, slots, batch, passes of the online network, those of the average) ->
      (loss, slots behind the step), on nested dicts of tensors.
    optimizer: as in `optimizers64`; its momenta are those that the state started with.
    momentum: step -> μ of the moving average.  frozen: paths that do not train.
    limits: (pattern, least, most) of parameters.
    followed_by: (slots, average behind the step) -> slots, for those that are made of it.
    averaged: whether the moving average passes no batch, so that its statistics are averaged, too.
    """
    params, ema = ({p: np.float64(x) for p, x in t.items()} for t in (played.params, played.ema))
    slots, made = played.slots, []
    for number, batch in enumerate(played.batches):
        count = played.start + number
        trained = {p for p in params if not STATISTICS.search(p) and not re.search(frozen, p)}
        live = {p: torch.tensor(x, requires_grad=p in trained) for p, x in params.items()}
        online, average = net.Passes(), net.Passes()
        value, slots = loss(nested(live), nested(tensors(ema)), slots, batch, online, average)
        wanted = sorted(trained)
        found = torch.autograd.grad(value, [live[p] for p in wanted], allow_unused=True)
        grads = {
            p: np.zeros_like(params[p]) if g is None else g.numpy()
            for p, g in zip(wanted, found, strict=True)
        }
        params = params | optimizer.step(count, params, grads)
        for pattern, least, most in limits:
            params |= {
                p: np.clip(x, least, most) for p, x in params.items() if re.search(pattern, p)
            }
        params |= followed(params, online, "encoders/image/")
        own = {} if averaged else followed(ema, average, "encoders/image/")
        mu = momentum(count)
        ema = {p: mu * x + (1 - mu) * params[p] for p, x in ema.items()} | own
        slots = followed_by(slots, ema)
        norm = np.sqrt(sum(np.square(g).sum() for g in grads.values()))
        made.append(StepResult(value.item(), norm, params, ema, optimizer.moments(), slots))
    return made

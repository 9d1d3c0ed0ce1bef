"""Rates and optimisers from their formulas, on {path: float64 array}, with the momenta given."""

import math

import numpy as np


def cosine(*, peak, total, warmup=0, start=0.0, end=0.0, top=None):
    """step -> η: a line from `start` to `peak` at step `top` (`warmup`), then half a cosine."""

    def rate(step):
        if step < warmup:
            return start + (peak - start) * step / (warmup if top is None else top)
        progress = min(1.0, (step - warmup) / (total - warmup))
        return end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * progress))

    return rate


def towards_one(first, total, *, ahead=0):
    """step -> μ of the moving average behind it: 1 − (1 − μ₀)·½(1 + cos π(step + ahead)/T)."""
    return lambda step: 1 - (1 - first) * 0.5 * (1 + math.cos(math.pi * (step + ahead) / total))


class Sgd:
    """v ← m v + g + λθ, θ ← θ − η v: torch.optim.SGD, every parameter alike.

    steady: the start of paths whose η is the first in every step.
    """

    def __init__(self, rate, moments, *, momentum, decay, steady=None):
        self.rate, self.momentum, self.decay, self.v = rate, momentum, decay, dict(moments["trace"])
        self.steady = steady

    def moments(self):
        return {"trace": dict(self.v)}

    def step(self, count, params, grads):
        moved = {}
        for path, g in grads.items():
            u = g + self.decay * params[path]
            self.v[path] = self.momentum * self.v[path] + u
            still = self.steady is not None and path.startswith(self.steady)
            moved[path] = params[path] - self.rate(0 if still else count) * self.v[path]
        return moved


class Lars:
    """u = g + λθ, v ← m v + u·η₀‖θ‖/‖u‖, θ ← θ − η v; 1-D parameters: v ← m v + g.

    flat: factor of the rate of 1-D parameters.  inside: the rate is inside the momentum (SimCLR).
    also: the end of a path of one dimension that is as the others.
    """

    def __init__(
        self, rate, moments, *, momentum, decay, trust=0.001, flat=1.0, inside=False, also=None
    ):
        self.rate, self.momentum, self.decay, self.trust = rate, momentum, decay, trust
        self.flat, self.inside, self.v = flat, inside, dict(moments["trace"])
        self.also = also

    def moments(self):
        return {"trace": dict(self.v)}

    def step(self, count, params, grads):
        moved = {}
        for path, g in grads.items():
            whole = g.ndim > 1 or (self.also is not None and path.endswith(self.also))
            theta, rate = params[path], self.rate(count) * (1.0 if whole else self.flat)
            if whole:
                g = g + self.decay * theta
                g = g * self.trust * np.linalg.norm(theta) / np.linalg.norm(g)
            before, after = (rate, 1.0) if self.inside else (1.0, rate)
            self.v[path] = self.momentum * self.v[path] + before * g
            moved[path] = theta - after * self.v[path]
        return moved


class AdamW:
    """torch.optim.AdamW: θ ← θ − η (m̂/(√v̂ + ε) + λθ), λ where `decays(path)`.

    clip: largest norm of the whole gradient.
    """

    def __init__(
        self, rate, moments, *, b1, b2, decay, eps=1e-8, decays=lambda path: True, clip=math.inf
    ):
        self.rate, self.b1, self.b2, self.decay, self.eps = rate, b1, b2, decay, eps
        self.clip = clip
        self.decays, self.m, self.v = decays, dict(moments["mu"]), dict(moments["nu"])

    def moments(self):
        return {"mu": dict(self.m), "nu": dict(self.v)}

    def step(self, count, params, grads):
        norm, moved = math.sqrt(sum(np.square(g).sum() for g in grads.values())), {}
        for path, g in grads.items():
            g = g * min(1.0, self.clip / norm)
            m = self.m[path] = self.b1 * self.m[path] + (1 - self.b1) * g
            v = self.v[path] = self.b2 * self.v[path] + (1 - self.b2) * g**2
            m, v = m / (1 - self.b1 ** (count + 1)), v / (1 - self.b2 ** (count + 1))
            u = m / (np.sqrt(v) + self.eps) + self.decay * self.decays(path) * params[path]
            moved[path] = params[path] - self.rate(count) * u
        return moved

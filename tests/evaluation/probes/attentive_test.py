"""The attentive head and its steps are those of CAPI's form, with keys and values, in torch."""

import functools
import itertools

import jax
import numpy as np
import optax
import pytest
import torch

from m3i_jax.evaluation.probes import attentive, heads


class Peer(torch.nn.Module):
    """Keys and values of all tokens, and torch's own attention."""

    def __init__(self, params):
        super().__init__()
        width = len(params["query"])
        self.heads = max(1, width // 64)
        real = lambda x: torch.tensor(np.asarray(x, np.float64))  # noqa: E731
        self.query = torch.nn.Parameter(real(params["query"]))
        self.kv = torch.nn.Linear(width, 2 * width, dtype=torch.float64)
        self.linear = torch.nn.Linear(width, len(params["bias"]), dtype=torch.float64)
        both = np.concatenate([params["key"], params["value"]], axis=1)
        with torch.no_grad():
            self.kv.weight.copy_(real(both.T))
            self.kv.bias.zero_()
            self.linear.weight.copy_(real(params["kernel"]).T)
            self.linear.bias.copy_(real(params["bias"]))

    def forward(self, x):
        batch, tokens, width = x.shape
        split = (self.heads, width // self.heads)
        query = self.query.expand(batch, 1, -1).reshape(batch, 1, *split).transpose(1, 2)
        key, value = self.kv(x).reshape(batch, tokens, 2, *split).permute(2, 0, 3, 1, 4)
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return self.linear(seen.reshape(batch, width))


def start(width, deviation=0.3):
    return functools.partial(attentive.start, width=width, classes=4, deviation=deviation)


@pytest.mark.parametrize("width", [128, 24])
def test_logits_are_those_with_keys_and_values(width, key):
    x = np.random.default_rng(0).normal(size=(5, 9, width))
    params = start(width)(key)
    with torch.no_grad():
        expected = Peer(jax.device_get(params))(torch.tensor(x)).numpy()
    np.testing.assert_allclose(
        attentive.attend(params, x.astype(np.float32)), expected, rtol=1e-5, atol=1e-5
    )
    assert abs(expected).max() > 1, "so that the tolerance is 1e-5 of it or less"
    mean = start(width)(key) | {"query": np.zeros(width, np.float32)}
    flat = attentive.attend(mean, x.astype(np.float32))
    assert abs(flat - expected).max() > 0.1, "the query matters"


def test_steps_are_those_of_adamw_in_torch(key):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 9, 24)), rng.integers(0, 4, 40)
    factors, rate, decay = attentive.schedule(6, 2), 0.01, 0.2
    order = [rows for _, rows in itertools.islice(heads.shuffled(40, batch=16), 6)]
    batches = (({"x": x[rows].astype(np.float32)}, y[rows]) for rows in order)
    optimizer = heads.Optimizer(optax.scale_by_adam(0.9, 0.95), factors)
    how = dict(rates=(rate,), decays=(decay,))
    found = heads.fit(attentive.attend, {"x": start(24)}, optimizer, batches, key, **how)["x"]
    peer = Peer(jax.device_get(start(24)(jax.random.split(key, 1)[0])))
    groups = [
        {"params": [p], "weight_decay": 0.0 if "bias" in name else decay}
        for name, p in peer.named_parameters()
    ]
    adamw = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95))
    for factor, rows in zip(factors, order, strict=True):
        for group in adamw.param_groups:
            group["lr"] = factor * rate
        scores = peer(torch.tensor(x[rows]))
        adamw.zero_grad()
        torch.nn.functional.cross_entropy(scores, torch.tensor(y[rows])).backward()
        adamw.step()
    kv = peer.kv.weight.detach().numpy().T
    wanted = {"query": peer.query, "kernel": peer.linear.weight.T, "bias": peer.linear.bias}
    wanted = {name: leaf.detach().numpy() for name, leaf in wanted.items()}
    wanted |= {"key": kv[:, :24], "value": kv[:, 24:], "value_bias": peer.kv.bias.detach()[24:]}
    for name, leaf in wanted.items():
        # Steps of .01, whose direction float32 knows to 1e-4 where a gradient is small.
        np.testing.assert_allclose(found.params[name][0], leaf, atol=1e-4, err_msg=name)


def test_the_schedule_has_its_ends():
    found = attentive.schedule(10, 4)
    np.testing.assert_allclose(found[:4], [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(found[4:], 0.5 * (1 + np.cos(np.pi * np.arange(6) / 5)))


def test_without_biases_it_is_aims_form(key):
    x = np.random.default_rng(0).normal(size=(5, 9, 128))
    params = jax.device_get(attentive.start(key, 128, 4, deviation=0.3, biases=False))
    assert set(params) == {"query", "key", "value", "kernel"}
    peer = Peer(params | {"bias": np.zeros(4)})
    with torch.no_grad():
        expected = peer(torch.tensor(x)).numpy()
    found = attentive.attend(params, x.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)

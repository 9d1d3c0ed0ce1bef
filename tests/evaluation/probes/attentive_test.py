"""The attentive head and its steps are those of CAPI's form, with keys and values, in torch."""

import functools
import itertools

import jax
import numpy as np
import pytest

from m3i_jax.evaluation.probes import attentive, heads

torch = pytest.importorskip("torch")


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


@pytest.mark.parametrize("form", [attentive.CAPI, attentive.AIM], ids=["capi", "aim"])
def test_steps_are_those_of_adamw_in_torch(form, key):
    rng = np.random.default_rng(1)
    x, y = 4 * rng.normal(size=(40, 9, 24)), rng.integers(0, 4, 40)
    factors, rate, decay, floor = form.factors(6, 2), 0.01, 0.2, 1000 * form.floor
    begin = functools.partial(start(24), biases=form.biases)
    order = [rows for _, rows in itertools.islice(heads.shuffled(40, batch=16), 6)]
    batches = (({"x": x[rows].astype(np.float32)}, y[rows]) for rows in order)
    optimizer = heads.Optimizer(form.rule, factors, floor)
    how = dict(rates=(rate,), decays=(decay,))
    found = heads.fit(attentive.attend, {"x": begin}, optimizer, batches, key, **how)["x"]
    begun = jax.device_get(begin(jax.random.split(key, 1)[0]))
    peer = Peer({"bias": np.zeros(4)} | begun)
    groups = [
        {"params": [p], "weight_decay": 0.0 if "bias" in name else decay}
        for name, p in peer.named_parameters()
        if form.biases or "bias" not in name
    ]
    leaves = [p for group in groups for p in group["params"]]
    adamw = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95 if form.biases else 0.999))
    norms = []
    for factor, rows in zip(factors, order, strict=True):
        for group in adamw.param_groups:
            group["lr"] = floor + factor * (rate - floor)
        scores = peer(torch.tensor(x[rows]))
        adamw.zero_grad()
        torch.nn.functional.cross_entropy(scores, torch.tensor(y[rows])).backward()
        if not form.biases:
            norms.append(float(torch.nn.utils.clip_grad_norm_(leaves, 3.0)))
        adamw.step()
    assert form.biases or min(norms) > 3, "so that clipping matters"
    kv = peer.kv.weight.detach().numpy().T
    wanted = {"query": peer.query, "kernel": peer.linear.weight.T, "bias": peer.linear.bias}
    wanted = {name: leaf.detach().numpy() for name, leaf in wanted.items()}
    wanted |= {"key": kv[:, :24], "value": kv[:, 24:], "value_bias": peer.kv.bias.detach()[24:]}
    assert {*found.params} <= {*wanted}
    for name, leaf in found.params.items():
        # Steps of .01, whose direction float32 knows to 1e-4 where a gradient is small.
        np.testing.assert_allclose(leaf[0], wanted[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "form, peak, places, expected",
    [
        # Darcet et al. 2025: 1250 of 12 500 steps rise; 2e-3 per 256 images.
        ("capi", 2e-3, (0, 625, 1249, 6875, 12499), (0, 8e-3 * 625 / 1249, 8e-3, 4e-3, 0)),
        # Fini et al. 2024, Table A2: 5 of 100 epochs rise to 2e-3, which falls to 1e-5.
        ("aim", 5e-4, (0, 312, 624, 6562, 12499), (1e-5, 1.005e-3, 2e-3, 1.0053e-3, 1e-5)),
    ],
)
def test_rates_are_the_published_ones_at_five_steps_of_1024_images(form, peak, places, expected):
    form = getattr(attentive, form.upper())
    optimizer = heads.Optimizer(form.rule, form.factors(12500), form.floor * 1024 / 256)
    assert peak in form.rates
    found = [optimizer.rates(i, np.array([peak * 1024 / 256]))[0] for i in places]
    # Half-way down is a step less than a half.
    np.testing.assert_allclose(found, expected, rtol=4e-4, atol=1e-9)


def test_without_biases_it_is_aims_form(key):
    x = np.random.default_rng(0).normal(size=(5, 9, 128))
    params = jax.device_get(attentive.start(key, 128, 4, deviation=0.3, biases=False))
    assert set(params) == {"query", "key", "value", "kernel"}
    peer = Peer(params | {"bias": np.zeros(4)})
    with torch.no_grad():
        expected = peer(torch.tensor(x)).numpy()
    found = attentive.attend(params, x.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)

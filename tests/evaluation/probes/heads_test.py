"""Every head of a grid takes the steps that torch's optimisers take."""

import functools
import itertools

import jax
import numpy as np
import optax
import pytest

from m3i_jax.evaluation.probes import heads
from tests.evaluation.toy_features import standardised, tables

torch = pytest.importorskip("torch")


def reference(x, y, start, make, factors, order):
    """The same head by torch in float64, step by step."""
    kernel, bias = (
        torch.tensor(start[n], dtype=torch.float64, requires_grad=True) for n in ("kernel", "bias")
    )
    optimizer = make([kernel, bias])
    base = [group["lr"] for group in optimizer.param_groups]
    for factor, rows in zip(factors, order, strict=True):
        for group, rate in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = factor * rate
        scores = torch.tensor(x[rows]) @ kernel + bias
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(y[rows], dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return kernel.detach().numpy(), bias.detach().numpy()


def sgd(rate, decay):
    return lambda leaves: torch.optim.SGD(leaves, lr=rate, momentum=0.9)


def adamw(rate, decay):
    def make(leaves):
        groups = [{"params": leaves[:1], "weight_decay": decay}, {"params": leaves[1:]}]
        return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)

    return make


@pytest.mark.parametrize(
    "rule, peer, decays",
    [
        (optax.trace(0.9), sgd, (0.0, 0.0, 0.0)),
        (optax.scale_by_adam(0.9, 0.95), adamw, (0, 0.3, 2)),
    ],
)
def test_each_head_is_torchs(rule, peer, decays, key):
    train, _ = tables(n=50)
    x, y = standardised(train, train.features), train.labels
    rates, factors = (1e-3, 1e-2, 0.1), heads.cosine(12)
    order = [rows for _, rows in itertools.islice(heads.shuffled(50, batch=16), 12)]
    batches = (({"x": x[rows].astype(np.float32)}, y[rows]) for rows in order)
    start = functools.partial(heads.linear_start, width=6, classes=3)
    optimizer = heads.Optimizer(rule, factors)
    found = heads.fit(
        heads.linear, {"x": start}, optimizer, batches, key, rates=rates, decays=decays, what="test"
    )["x"]
    for i, one in enumerate(jax.random.split(key, 3)):
        begun = jax.device_get(start(one))
        kernel, bias = reference(x, y, begun, peer(rates[i], decays[i]), factors, order)
        # Twelve steps in float32.
        np.testing.assert_allclose(found.params["kernel"][i], kernel, atol=3e-6)
        np.testing.assert_allclose(found.params["bias"][i], bias, atol=3e-6)
        assert abs(kernel - begun["kernel"]).max() > 3e-3
    only = found.only(1)
    np.testing.assert_array_equal(only.params["kernel"], found.params["kernel"][1:2])


def test_the_cosine_is_torchs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7, eta_min=0)
    for factor in heads.cosine(7):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        peer.step()


def test_an_epoch_is_every_row_once():
    found = list(itertools.islice(heads.shuffled(10, batch=3), 7))
    assert [epoch for epoch, _ in found] == [0, 0, 0, 1, 1, 1, 2]
    first = np.concatenate([rows for epoch, rows in found if epoch == 0])
    assert len(set(first)) == 9 and set(first) <= set(range(10))
    assert len(next(heads.shuffled(2, batch=3))[1]) == 2, "no more rows than there are"


def test_choices_are_the_best_class_and_none_of_a_head_that_diverged():
    _, test = tables(m=31)
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 6, 3)).astype(np.float32)
    kernel[2] = np.nan
    table = heads.Table({"kernel": kernel, "bias": np.zeros((3, 3), np.float32)}, np.ones(3), None)
    found = np.asarray(heads.choices(heads.linear, table, test.features))
    right = [(test.features.astype(np.float64) @ k).argmax(1) for k in kernel[:2]]
    np.testing.assert_array_equal(found[:, :2], np.transpose(right))
    assert (found[:, 2] == -1).all()
    equal = table._replace(params={"kernel": 0 * kernel[:1], "bias": np.zeros((1, 3), np.float32)})
    assert not np.asarray(heads.choices(heads.linear, equal, test.features)).any(), "the lower one"


def test_rows_without_a_label_weigh_nothing(key):
    train, _ = tables(n=12)
    x, y = standardised(train, train.features).astype(np.float32), train.labels
    start = {"x": functools.partial(heads.linear_start, width=6, classes=3)}
    optimizer = heads.Optimizer(optax.trace(0.9), heads.cosine(2))
    some = np.where(np.arange(12) < 8, y, -1)
    all_of = [({"x": x}, some)] * 2, [({"x": x[:8]}, y[:8])] * 2
    one, other = (
        heads.fit(heads.linear, start, optimizer, batches, key, rates=[1.0])["x"].params["kernel"]
        for batches in all_of
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_batch_norm_is_torchs(key):
    """AIM's, of tokens: statistics of the batch while it trains, running ones when it is asked."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(3, 5, (24, 4, 6)), rng.integers(0, 3, 24)

    def head(params, x):
        return heads.linear(params, x.mean(1))

    start = functools.partial(heads.linear_start, width=6, classes=3)
    optimizer = heads.Optimizer(optax.trace(0.9), heads.cosine(6))
    batches = [({"x": x[i : i + 8].astype(np.float32)}, y[i : i + 8]) for i in (0, 8, 16) * 2]
    how = dict(rates=[0.5], normalise=True)
    table = heads.fit(head, {"x": start}, optimizer, batches, key, **how)["x"]
    begun = jax.device_get(start(jax.random.split(key, 1)[0]))
    kernel, bias = (
        torch.tensor(begun[n], dtype=torch.float64, requires_grad=True) for n in ("kernel", "bias")
    )
    norm = torch.nn.BatchNorm1d(6, eps=1e-6, affine=False, dtype=torch.float64)
    peer = torch.optim.SGD([kernel, bias], lr=0.5, momentum=0.9)
    for factor, (rows, labels) in zip(optimizer.factors, batches, strict=True):
        peer.param_groups[0]["lr"] = 0.5 * factor
        seen = norm(torch.tensor(rows["x"], dtype=torch.float64).transpose(1, 2)).mean(2)
        peer.zero_grad()
        torch.nn.functional.cross_entropy(seen @ kernel + bias, torch.tensor(labels)).backward()
        peer.step()
    np.testing.assert_allclose(table.norm.mean, norm.running_mean, rtol=1e-5)
    np.testing.assert_allclose(table.norm.variance, norm.running_var, rtol=1e-5)
    np.testing.assert_allclose(table.params["kernel"][0], kernel.detach(), atol=3e-6)
    norm.eval()
    seen = norm(torch.tensor(x).transpose(1, 2)).mean(2)
    expected = (seen @ kernel + bias).detach()
    found = heads.scores(head, table, x.astype(np.float32))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)

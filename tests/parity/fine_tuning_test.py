"""Fine-tuning moves every parameter as the published programs do: groups, rates, decay, in value.

torch's AdamW with the parameter groups and the rate of each step as MAE's main_finetune.py
(util/lr_decay.py, util/lr_sched.py) and BEiT's run_class_finetuning.py (optim_factory.py, utils.py)
build them, in float64, on the same gradients; ours are the recipes' own optimisers.
"""

import math
import re

import jax
import numpy as np
import optax
import pytest

from m3i_jax import cli, trees
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config

torch = pytest.importorskip("torch")

DEPTH, PER_EPOCH = 3, 2  # blocks; steps of an epoch
NAMES = (
    (r"^encoders/image/", ""),
    (r"^decoders/category/norm/scale$", "fc_norm.weight"),
    (r"^decoders/category/norm/bias$", "fc_norm.bias"),
    (r"^encoders/category/kernel$", "head.weight"),
    (r"^encoders/category/bias$", "head.bias"),
    (r"/(kernel|scale)$", ".weight"),
    (r"patch_embed", "patch_embed.proj"),
    (r"relative_position/table", "relative_position_bias_table"),
    (r"/", "."),
)


def theirs(path):
    for pattern, name in NAMES:
        path = re.sub(pattern, name, path)
    return path


def split(tree):
    """{their name: an array}, a stack of blocks as the blocks that it holds."""
    found = {}
    for path, leaf in trees.named_leaves(tree):
        name, leaf = theirs(path), np.asarray(leaf, np.float64)
        if name.startswith("blocks."):
            rest = name.removeprefix("blocks.")
            found |= {f"blocks.{i}.{rest}": leaf[i] for i in range(DEPTH)}
        else:
            found[name] = leaf
    return found


def mae_groups(params, *, weight_decay, layer_decay):
    """`param_groups_lrd`: one group for each layer and kind, {name: (rate's factor, decay)}."""
    layers = DEPTH + 1

    def layer(name):
        if name in ("cls_token", "pos_embed") or name.startswith("patch_embed"):
            return 0
        return int(name.split(".")[1]) + 1 if name.startswith("blocks") else layers

    still = lambda name, x: x.ndim == 1 or name in ("pos_embed", "cls_token", "dist_token")  # noqa: E731
    return {
        name: (layer_decay ** (layers - layer(name)), 0.0 if still(name, x) else weight_decay)
        for name, x in params.items()
    }


def mae_rates(*, lr, epochs, warmup, min_lr=1e-6):
    """`adjust_learning_rate` in every iteration, by the fraction of the epoch."""
    for step in range(epochs * PER_EPOCH):
        epoch = step / PER_EPOCH
        if epoch < warmup:
            yield lr * epoch / warmup
        else:
            done = (epoch - warmup) / (epochs - warmup)
            yield min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * done))


def beit_groups(params, *, weight_decay, layer_decay):
    """`get_parameter_groups` with `LayerDecayValueAssigner`."""
    values = [layer_decay ** (DEPTH + 1 - i) for i in range(DEPTH + 2)]

    def number(name):
        if name in ("cls_token", "mask_token", "pos_embed") or name.startswith("patch_embed"):
            return 0
        if name.startswith("rel_pos_bias"):
            return len(values) - 1
        return int(name.split(".")[1]) + 1 if name.startswith("blocks") else len(values) - 1

    def decay(name, x):
        skip = x.ndim == 1 or name.endswith(".bias") or name in ("pos_embed", "cls_token")
        return 0.0 if skip else weight_decay

    return {name: (values[number(name)], decay(name, x)) for name, x in params.items()}


def beit_rates(*, lr, epochs, warmup, min_lr=1e-6):
    """`cosine_scheduler`: a line that ends on the peak, then the cosine over what is left."""
    rising = np.linspace(0, lr, warmup * PER_EPOCH)
    steps = np.arange(epochs * PER_EPOCH - warmup * PER_EPOCH)
    falling = [
        min_lr + 0.5 * (lr - min_lr) * (1 + math.cos(math.pi * i / len(steps))) for i in steps
    ]
    return np.concatenate([rising, falling])


# Config; groups and rates as its program builds them from its own arguments.
RECIPES = {
    "mae": ("finetune/vit_b16:mae", mae_groups, mae_rates,
            dict(weight_decay=0.05, layer_decay=0.65), dict(lr=2e-3, epochs=100, warmup=5)),
    "beit": ("finetune/beit_vit_b16", beit_groups, beit_rates,
             dict(weight_decay=0.05, layer_decay=0.65), dict(lr=4e-3, epochs=100, warmup=20)),
}  # fmt: skip


def gradients(params, step):
    rng = np.random.default_rng(step)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params)


def reference(params, groups, rates):
    """Yields the parameters after each step of torch's AdamW, one group for each parameter."""
    leaves = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in split(params).items()}
    made = [
        dict(params=[leaf], lr_scale=groups[name][0], weight_decay=groups[name][1])
        for name, leaf in leaves.items()
    ]
    optimizer = torch.optim.AdamW(made, lr=1.0, betas=(0.9, 0.999), eps=1e-8)
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        for name, gradient in split(gradients(params, step)).items():
            leaves[name].grad = torch.tensor(gradient)
        optimizer.step()
        yield {name: leaf.detach().numpy().copy() for name, leaf in leaves.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_moves_parameters_as_its_program_does(name):
    file, groups, rates, of_groups, of_rates = RECIPES[name]
    config = cli.load(file)
    config.encoder.update(dict(name="vit_nano", width=8, depth=DEPTH, heads=2, patch=8))
    config.update(dict(image=16, epoch_size=config.batch * PER_EPOCH))
    config.towers.category.update(dict(size=4, width=8))
    run = assemble(Config.of(config), images=1)
    total = of_rates["epochs"] * PER_EPOCH
    assert run.total == total
    shapes = run.abstract.params
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    wanted = reference(params, groups(split(params), **of_groups), rates(**of_rates))
    # The first step, the middle and the end of the warm-up, the middle of the cosine, the last.
    warmup = of_rates["warmup"] * PER_EPOCH
    points = {0, warmup // 2, warmup, (warmup + total) // 2, total - 1}
    optimizer = run.of_length(run.total, run.warmup).optimizer
    update, state, now = jax.jit(optimizer.update), optimizer.init(params), params
    for step, right in enumerate(wanted):
        before = now
        changes, state = update(gradients(params, step), state, now)
        now = optax.apply_updates(now, changes)
        if step in points:
            found = split(now)
            assert found.keys() == right.keys() and len(found) > 10 * DEPTH
            for leaf, x in right.items():
                # Rounding of float32 in every step so far.
                np.testing.assert_allclose(found[leaf], x, rtol=3e-6, atol=3e-6, err_msg=leaf)
            still = all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (before, now)),
                                                             strict=True))  # fmt: skip
            assert still == (step == 0), "the first rate is 0"

"""A first state from weights that are there: whose, how much of them, and what is said of it."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import captions
from m3i_jax.interop import files, layouts
from m3i_jax.interop.rename import to_theirs
from m3i_jax.training import init_from
from m3i_jax.training.assemble import assemble

ENCODER = "encoders/image/"


@pytest.fixture(scope="module")
def mae(shrunk, one_device):
    """(block, **changes) -> a run of MAE that starts from `block`."""
    mesh, devices = one_device

    def make(block=None, method="mae", **changes):
        config = shrunk(method, mesh=mesh, init_from=block or {}, **changes)
        return assemble(config, images=100, devices=devices)

    return make


def flat(tree):
    return {path: np.asarray(x) for path, x in trees.named_leaves(tree)}


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {p: np.float32(rng.normal(size=x.shape)) for p, x in trees.named_leaves(shapes)}


def started(run):
    return init_from.fill(run, run.create(), init_from.find(run))


@pytest.fixture(scope="module")
def workdir(mae, tmp_path_factory):
    """A run whose average differs from its online network, on disk."""
    run, path = mae(seed=5), tmp_path_factory.mktemp("origin")
    state = run.create()
    state = state.replace(slots=state.slots | {"ema": jax.tree.map(np.cos, state.slots["ema"])})
    with Checkpoints(path / "checkpoints") as kept:
        kept.save(3, state.items(), {}, wait=True)
    return path, flat(state.params), flat(state.slots["ema"])


def test_another_run_gives_network_and_target(mae, workdir, caplog):
    path, params, average = workdir
    caplog.set_level("INFO")
    state = started(mae({"path": str(path)}))
    for ours, theirs in ((state.params, params), (state.slots["ema"], average)):
        assert flat(ours).keys() == theirs.keys()
        for name, x in flat(ours).items():
            np.testing.assert_array_equal(x, theirs[name])
    assert int(state.step) == 0
    assert f"{len(params)} weights are taken" in caplog.text and "not there" not in caplog.text


def test_what_follows_the_average_starts_where_it_does(mae):
    run = mae(method="dinov3")
    found = {"encoders/image/norm/scale": np.full(64, 3.0, np.float32)}
    state = init_from.fill(run, run.create(), init_from.Start({}, found, None))
    weights = flat(state.slots["snapshot"]["weights"])
    assert (weights["encoders/image/norm/scale"] == 3.0).all() and len(weights) > 9
    assert all((x == flat(state.slots["ema"])[path]).all() for path, x in weights.items())


def test_the_average_can_become_the_network(mae, workdir):
    path, params, average = workdir
    state = started(mae({"path": str(path), "branch": "ema"}))
    for name, x in flat(state.params).items():
        np.testing.assert_array_equal(x, average.get(name, params[name]))
    with pytest.raises(ConfigError, match="branch is 'emma', .*did you mean 'ema'"):
        started(mae({"path": str(path), "branch": "emma"}))


def test_a_foreign_file_with_its_decoder(mae, tmp_path):
    run = mae({"path": str(tmp_path)})
    params = drawn(run.abstract.params)
    state, unknown = to_theirs(params, layouts.lookup("mae"))
    assert not unknown
    save_file(state, tmp_path / files.WEIGHTS)
    found = started(run)
    for name, x in flat(found.params).items():
        np.testing.assert_array_equal(x, params[name])
    for name, x in flat(found.slots["ema"]).items():  # no target in the file: it starts as online
        np.testing.assert_array_equal(x, params[name])


def test_decoders_that_do_not_fit_start_as_initialised(mae, tmp_path):
    run = mae({"path": str(tmp_path)}, **{"decoders.image.width": 32})
    other = mae().abstract.params
    params = drawn(other)
    save_file(to_theirs(params, layouts.lookup("mae"))[0], tmp_path / files.WEIGHTS)
    start, first = init_from.find(run), flat(run.create().params)
    found = flat(init_from.fill(run, run.create(), start).params)
    for name, x in found.items():
        want = params[name] if name.startswith(ENCODER) else first[name]
        np.testing.assert_array_equal(x, want)
    assert {n.split("/")[0] for n in start.report.missing} == {"decoders"}
    assert {n.split("/")[0] for n in start.report.extra} == {"decoders"}


def beside(path, **said):
    """A config.json of transformers beside the weights."""
    image = dict(hidden_size=64, num_hidden_layers=1, image_size=32, patch_size=4)
    (path / files.CONFIG).write_text(json.dumps({"model_type": "vit", **image, **said}))


def test_what_lies_beside_a_file_has_to_be_the_encoder_of_the_run(mae, tmp_path, caplog):
    caplog.set_level("INFO")
    run = mae({"path": str(tmp_path)})
    save_file(drawn(run.abstract.params), tmp_path / files.WEIGHTS)
    init_from.find(run)
    assert (
        "says heads=2, activation='gelu', eps=1e-06, normalization='imagenet': a gu" in caplog.text
    )
    fine = dict(num_attention_heads=2, layer_norm_eps=1e-6)
    beside(tmp_path, **fine)
    init_from.find(run)
    beside(tmp_path, **fine | dict(num_attention_heads=4, hidden_act="relu"))
    with pytest.raises(ConfigError) as error:
        init_from.find(run)
    assert "heads is 2, and 4 in config.json's num_attention_heads" in str(error.value)
    assert "activation is 'gelu', and 'relu' in config.json's hidden_act" in str(error.value)
    init_from.find(mae({"path": str(tmp_path), "ignore": "^(heads|activation)$"}))
    assert "heads is 2, and 4 in config.json's num_attention_heads" in caplog.text


def test_another_run_of_another_encoder_is_refused(mae, workdir):
    path, *_ = workdir
    run = mae({"path": str(path)})
    config = run.config.to_dict()
    decoders = config["decoders"]
    wider = {"image": decoders["image"] | {"heads": 4}}
    for encoder, heads, sentence in (
        ({}, decoders, None),
        ({"heads": 4}, decoders, f"heads is 2, and 4 in the config of '{path}', image.heads"),
        ({}, wider, "decoders/image of .* is another one: heads is 2, and 4 there"),
    ):
        said = config | {"encoder": config["encoder"] | encoder, "decoders": heads}
        (path / files.CONFIG).write_text(json.dumps(said))
        if sentence is None:
            init_from.find(run)
            continue
        with pytest.raises(ConfigError, match=sentence):
            init_from.find(run)
    (path / files.CONFIG).unlink()


def test_a_target_in_a_file_is_the_target(mae, tmp_path):
    run = mae({"path": str(tmp_path)})
    params = drawn(run.abstract.params)
    target = drawn(run.abstract.slots["ema"], seed=1)
    own = params | {f"ema/{name}": x for name, x in target.items()}
    save_file(own, tmp_path / files.WEIGHTS)
    state = started(run)
    for name, x in flat(state.slots["ema"]).items():
        np.testing.assert_array_equal(x, target[name])
    np.testing.assert_array_equal(
        flat(state.params)[ENCODER + "cls_token"], params[ENCODER + "cls_token"]
    )


def test_a_token_of_masks_may_be_missing_and_anything_else_only_if_named(mae, tmp_path):
    run = mae({"path": str(tmp_path)}, **{"encoder.hide": "mask"})
    params = drawn(run.abstract.params)
    kept = {k: x for k, x in params.items() if k != ENCODER + "mask_token"}
    save_file(kept, tmp_path / files.WEIGHTS)
    start = init_from.find(run)
    assert start.report.missing == (ENCODER + "mask_token",)
    first = flat(run.create().params)[ENCODER + "mask_token"]
    state = init_from.fill(run, run.create(), start)
    np.testing.assert_array_equal(flat(state.params)[ENCODER + "mask_token"], first)
    del kept[ENCODER + "norm/bias"]
    save_file(kept, tmp_path / files.WEIGHTS)
    with pytest.raises(ConfigError, match="it lacks encoders/image/norm/bias"):
        init_from.find(run)
    ignoring = {"path": str(tmp_path), "ignore": "(mask_token|norm/bias)$"}
    start = init_from.find(mae(ignoring, **{"encoder.hide": "mask"}))
    assert len(start.report.missing) == 2


def test_what_does_not_fit_is_refused_before_anything_compiles(mae, tmp_path):
    run = mae({"path": str(tmp_path)})
    save_file({"decoders/other/bias": np.ones(3, np.float32)}, tmp_path / files.WEIGHTS)
    with pytest.raises(ConfigError, match="nothing of .* fits this run: it has decoders/other"):
        init_from.find(run)
    wide = mae({"path": str(tmp_path)}, **{"encoder.width": 32})
    save_file(drawn(run.abstract.params), tmp_path / files.WEIGHTS)
    with pytest.raises(ConfigError, match=r"cls_token is \[1, 1, 64\], wanted \[1, 1, 32\]"):
        init_from.find(wide)
    with pytest.raises(ConfigError, match="there are no weights at"):
        init_from.find(mae({"path": str(tmp_path / "none")}))
    with pytest.raises(ConfigError, match="config.init_from has no key 'pth'; did you mean 'path'"):
        mae({"pth": "x"})


def test_a_run_that_asks_for_nothing_starts_as_ever(mae):
    run = mae()
    state = run.create()
    assert init_from.find(run) is None and init_from.fill(run, state, None) is state


def test_a_text_tower_of_other_tokens_starts_anew(mae, tmp_path, caplog):
    caplog.set_level("INFO")
    same, other = ["a cat", "a dog"], ["ein hund", "eine katze"]
    mine, again, theirs = (captions.train(x, length=16) for x in (same, same, other))
    run = mae(method="clip", seed=5)
    with Checkpoints(tmp_path / "checkpoints") as kept:
        kept.save(3, run.create().items(), {}, wait=True)
    ours = mae({"path": str(tmp_path)}, method="clip")
    for tokenizer, taken in ((again, True), (theirs, False)):
        tokenizer.save(tmp_path / "tokenizer.json")
        start = init_from.find(ours, tokenizer=mine)
        assert (init_from.TOKENS in start.online) is taken
        assert any(path.startswith(ENCODER) for path in start.online)
        assert ("this run has others" in caplog.text) is not taken
    wanted = ours.abstract.params["encoders"]["text"]
    with pytest.raises(ConfigError, match="this run has others; name that file in config.captions"):
        weights.load(tmp_path, wanted, tower="text", branch="online", tokenizer=mine)
    assert weights.load(tmp_path, wanted, tower="text", branch="online", tokenizer=theirs)

"""Any encoder of a run or a file, on any data, with nothing typed twice."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax import cli, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.evaluation import datasets
from m3i_jax.interop import beside, exporting
from m3i_jax.training import fine_tuning, init_from
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config

IMAGE = "encoders/image/"


def folder(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / name)
    return str(root)


def resolved(origin, *, recipe="finetune/small", size=7, block=None, **how):
    block = {"name": "digit_scenes"} if block is None else block
    plain = cli.load(recipe).to_dict()
    return fine_tuning.config(plain, origin, block, size=size, **how)


def started(config):
    """The run of a config and the weights that it starts from."""
    run = assemble(Config.of(config), images=100)
    return run, init_from.find(run)


def leaves(tree):
    return {path: x for path, x in trees.named_leaves(tree) if path.startswith(IMAGE)}


@pytest.mark.parametrize("to, ours", [
    ("run", True), ("m3i_jax", True), ("timm", True), ("huggingface", True),
    ("timm", False), ("huggingface", False),
])  # fmt: skip
def test_a_run_and_its_exports_give_the_same_encoder(finished_run, tmp_path, to, ours):
    """Without what we say in its config.json an export is a file of timm or Hugging Face."""
    path, online = finished_run, weights.load_branch(finished_run, "online")
    if to != "run":
        block = {"image": 16, **weights.meta(finished_run)[1]["config"]["encoder"]}
        exporting.save(tmp_path, online["encoders"]["image"], {"encoder": block}, to=to)
        path, note = tmp_path, tmp_path / "config.json"
        said = json.loads(note.read_text())
        note.write_text(
            json.dumps(said if ours else {k: said[k] for k in said.keys() - {"m3i_jax"}})
        )
    origin = fine_tuning.origin(path)
    run, start = started(resolved(origin))
    table = run.abstract.params["encoders"]["category"]
    assert (run.config.image, table["kernel"].shape) == (16, (7, 32))
    wanted, theirs = leaves(run.abstract.params), leaves(online)
    assert wanted.keys() - leaves_of(start) <= {IMAGE + "pos_embed"}
    for name in wanted.keys() & theirs.keys():
        np.testing.assert_allclose(start.online[name], theirs[name], rtol=1e-6, err_msg=name)
    assert "norm/scale" not in {name.removeprefix(IMAGE) for name in wanted}
    assert origin.data == (weights.meta(finished_run)[1]["config"]["data"] if to == "run" else {})


def leaves_of(start):
    return {path for path in start.online if path.startswith(IMAGE)}


BLOCKS = {
    "shared bias": dict(name="vit_nano", positions="none", relative_bias="shared", hide="mask"),
    "learned": dict(name="vit_nano", positions="learned", class_token=False, layer_scale=0.1),
    "swin": dict(name="swin_v2_t", width=8, depths=(1, 2), heads=(1, 2), window=4),
    "replknet": dict(name="replknet_nano"),
    "internimage": dict(name="internimage_t", width=8, groups=2, depths=(1, 1, 1, 1), fused=8),
    "resnet": dict(name="resnet_nano"),
}


@pytest.mark.parametrize("image", [32, 64])
@pytest.mark.parametrize("name", BLOCKS)
def test_every_encoder_is_taken_whole_at_its_size_and_at_another(tmp_path, name, image):
    block = {"image": 32, **BLOCKS[name]}
    module = beside.create(block)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    exporting.save(tmp_path, params, {"encoder": block}, to="m3i_jax")
    origin = fine_tuning.origin(tmp_path)
    assert origin.block["image"] == 32
    run, start = started(resolved(origin, image=image))
    assert leaves_of(start) == leaves(run.abstract.params).keys()
    assert run.config.encoder["drop_path"] == 0.1 and run.config.image == image
    same = [p for p in leaves_of(start) if p.endswith(("qkv/kernel", "fc1/kernel", "conv1/kernel"))]
    before = dict(trees.named_leaves(params))
    for path in same:
        np.testing.assert_array_equal(start.online[path], before[path.removeprefix(IMAGE)])
    assert same or name == "replknet"


RECIPES = (
    "small", "light", "vit_b16:mae", "beit_vit_b16", "cim_vit_b16", "simmim_swin_v2_b",
    "replknet_31b", "internimage_h", "cim_resnet50", "dark_secrets_swin_v2_b:mim_cog",
    "linear_vit_b16",
)  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_fits_another_encoder(finished_run, recipe):
    config = resolved(fine_tuning.origin(finished_run), recipe=f"finetune/{recipe}")
    run = assemble(Config.of(config), images=4096)
    published = cli.load(f"finetune/{recipe}").to_dict()
    for key in ("objective", "crops", "augment", "optimizer", "duration", "warmup", "batch"):
        assert config[key] == published[key], key
    assert run.total > 0 and config["epoch_size"] == 0


@pytest.mark.parametrize(
    "recipe, key", [("segmentation", "classes"), ("depth", ""), ("pose", "points")]
)
def test_what_is_said_of_pixels_is_fine_tuned(finished_run, recipe, key):
    block = {"name": "digit_scenes", "dense": True, "length": 20}
    plain = cli.load(f"finetune/{recipe}").to_dict()
    images, size = fine_tuning.counts(plain["objective"], block)
    assert (images, size) == (20, {"classes": 11, "points": 5, "": 1}[key])
    config = fine_tuning.config(plain, fine_tuning.origin(finished_run), block, size=size)
    assert config["objective"].get(key, 1) == size and config["towers"] == {}
    side = config["image"]
    assert config["crops"].get("base", (4 * side, side)) == (4 * side, side)
    run, start = started(config)
    # Fixed positions learn, and start from what they were.
    assert leaves(run.abstract.params).keys() - leaves_of(start) <= {IMAGE + "pos_embed"}
    assert run.config.validation["every"] and run.method.annotations


def test_objects_are_fine_tuned_by_a_pyramid_of_what_the_encoder_has(finished_run):
    block = {"name": "digit_scenes", "objects": 3, "size": 64, "length": 20}
    plain = cli.load("finetune/detection").to_dict()
    assert fine_tuning.counts(plain["objective"], block) == (20, 10)
    origin = fine_tuning.origin(finished_run)
    config = fine_tuning.config(plain, origin, block, size=10, image=64)
    assert config["crops"]["base"] == (64, 64) and config["objective"]["classes"] == 10
    run, _ = started(config)
    assert run.method.annotations == ("objects",) and run.config.validation["every"]
    assert config["decoders"]["detection"]["pyramid"] == "simple"
    swin = origin._replace(block={"image": 64, **BLOCKS["swin"]})
    staged = fine_tuning.config(plain, swin, block, size=10, image=64)
    assert staged["decoders"]["detection"]["pyramid"] == "fpn"
    assert staged["objective"]["blocks"] == "stages"


@pytest.mark.parametrize("recipe", ["m3i", "mae"])
@pytest.mark.parametrize("block", ["shared bias", "learned", "swin", "resnet"])
def test_a_probe_leaves_the_encoder_as_it_is(tmp_path, block, recipe):
    """Every weight of it, and what it says: no norm, no bias and no position becomes another."""
    block = {"image": 32, **BLOCKS[block]}
    module = beside.create(block)
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    params = jax.tree.map(lambda x: np.full(x.shape, 0.5, np.float32), shapes)
    exporting.save(tmp_path, params, {"encoder": block}, to="m3i_jax")
    made = resolved(fine_tuning.origin(tmp_path), recipe=f"finetune/linear_vit_b16:{recipe}")
    own, theirs = made["encoder"], {k: x for k, x in block.items() if k not in ("image", "hide")}
    theirs = json.loads(json.dumps(theirs))  # as a file says it
    assert {k: own[k] for k in theirs} == theirs and not own.get("drop_path")
    run, start = started(made)
    assert leaves_of(start) == leaves(run.abstract.params).keys()
    wanted = {path.removeprefix(IMAGE) for path in leaves_of(start)}
    assert {path for path, _ in trees.named_leaves(params)} - wanted <= {"mask_token"}
    token = block["name"] == "vit_nano" and block.get("class_token", True)
    pool = "class" if recipe == "mae" and token else "mean"
    assert made["decoders"]["category"] == {"name": "pooled", "pool": pool, "norm": "running"}
    assert made["towers"]["category"]["deviation"] == 0.01 and run.config.validation["every"]


def test_length_batch_and_rate_change_what_follows_from_them(finished_run):
    origin = fine_tuning.origin(finished_run)
    made = resolved(origin, recipe="finetune/vit_b16:mae", epochs=20, batch=256)
    assert (made["duration"], made["warmup"], made["batch"]) == ("20 epochs", "5 percent", 256)
    np.testing.assert_allclose(made["optimizer"]["lr"], 2e-3 / 4)
    np.testing.assert_allclose(made["optimizer"]["end_lr"], 1e-6 / 4)
    made = resolved(origin, recipe="finetune/vit_b16:mae", batch=256, lr=1e-3, image=32)
    assert made["optimizer"]["lr"] == 1e-3 and made["optimizer"]["end_lr"] == 1e-6
    assert made["image"] == 32 and made["duration"] == "100 epochs"
    assert resolved(origin, lr=1e-7)["optimizer"]["end_lr"] == 0.0


def weights_of(run, tmp_path):
    """A file of the encoder of a run, which says nothing of it by itself."""
    block = weights.meta(run)[1]["config"]["encoder"]
    tree = weights.load_branch(run, "online")["encoders"]["image"]
    exporting.save(tmp_path / "export", tree, {"encoder": {"image": 16, **block}}, to="timm")
    return tmp_path / "export" / "model.safetensors"


def test_a_run_says_how_much_of_its_data_may_be_broken_and_a_file_says_nothing(
    finished_run, tmp_path, monkeypatch
):
    meta = weights.meta(finished_run)
    config = meta[1]["config"] | {"unreadable": 0.5}
    monkeypatch.setattr(weights, "meta", lambda path: (meta[0], meta[1] | {"config": config}))
    assert fine_tuning.origin(finished_run).unreadable == 0.5
    assert fine_tuning.origin(weights_of(finished_run, tmp_path)).unreadable is None


def test_what_cannot_be_fine_tuned_is_a_sentence(finished_run, tmp_path):
    with pytest.raises(ConfigError, match="there are no weights at"):
        fine_tuning.origin(tmp_path / "nothing")
    silent = shutil.copy(weights_of(finished_run, tmp_path), tmp_path / "silent.safetensors")
    with pytest.raises(ConfigError, match="nothing beside .* says which encoder it is; m3i con"):
        fine_tuning.origin(silent)
    flat = datasets.block(folder(tmp_path / "flat", "train/1.png", "val/1.png"))
    with pytest.raises(ConfigError, match="fine-tuning needs classes, but the train split has no"):
        fine_tuning.counts({}, flat)
    one = datasets.block(folder(tmp_path / "one", "train/cat/1.png"))
    with pytest.raises(ConfigError, match="fine-tuning tells classes apart, .* one only, 'cat'"):
        fine_tuning.counts({}, one)
    two = folder(tmp_path / "two", "train/cat/1.png", "train/dog/1.png")
    assert fine_tuning.counts({}, datasets.block(two)) == (2, 2)

    wide = fine_tuning.Origin("wide", "online", {"name": "vit_nano", "image": (16, 32)}, {})
    with pytest.raises(ConfigError, match="'wide' has seen images of 16x32 pixels.*--image 32"):
        resolved(wide)
    with pytest.raises(ConfigError, match="image 18x18 is not divisible by patch 4"):
        resolved(fine_tuning.origin(finished_run), image=18)


@pytest.mark.parametrize("images, batch", [(450, 256), (64, None), (63, 32), (1, 1)])
def test_a_batch_holds_no_image_twice(images, batch):
    assert fine_tuning.fitting(64 if images < 100 else 16384, images) == batch

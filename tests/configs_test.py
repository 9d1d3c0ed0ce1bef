"""Every config file loads, fits together, says what it is and how to start it; none is left."""

import ast
import itertools
import pathlib
import re
import shlex
from functools import partial

import jax
import pytest

from m3i_jax import cli, framework, methods, shipped, trees
from m3i_jax.__main__ import verbs
from m3i_jax.configs import recipes
from m3i_jax.methods import describe, forms
from m3i_jax.parallel import sharding
from m3i_jax.training import assemble, optimizer
from m3i_jax.training.config import Config

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
FILES = shipped.names()
SMALL = ("digit_scenes/", "folder/")
CIM_SCENES = ("respix", "revdet", "erasing", "respix_resnet", "revdet_resnet", "erasing_resnet")
# What configs with an argument are asked for.
ARGUMENTS = {
    "imagenet/cim_vit_b16": ("respix", "revdet", "small"),
    "imagenet/cim_resnet50": ("respix", "revdet"),
    "digit_scenes/cim": CIM_SCENES,
    "digit_scenes/table2": forms.FORMS,
    "digit_scenes/siglip": ("", "two"),
    "folder/table2": ("", "a"),
    "folder/m3i": ("", "images"),
    "digit_scenes/dark_secrets": ("classification", "mae", "m3i"),
    "fashion_mnist/dark_secrets": ("classification", "simclr", "mae", "m3i"),
    "fashion_mnist/methods": ("byol", "milan", "m3i_images"),  # all: tests/studies/methods_test
    "imagenet/table2_vit_b16": forms.FORMS,
    "digit_scenes/m3i": ("", "images"),
    "imagenet/m3i_vit_b16": ("", "images"),
    "imagenet/moco_v3_vit_b16": ("", "small"),
    "imagenet/dinov3_vit_l16": ("", "gram"),
    "finetune/cim_vit_b16": ("respix", "revdet", "small"),
    "finetune/cim_resnet50": ("100", "300", "600"),
    "finetune/vit_b16": ("m3i", "mae", "siamese_im"),
    "finetune/mae_vit_l16": ("large", "huge"),
    "finetune/ade20k_vit_b16": ("m3i", "mae", "siamese_im", "beit", "cim"),
    "finetune/ade20k_resnet50": ("160", "80"),
    "finetune/ade20k_swin_v2_b": ("mim", "sup"),
    "finetune/coco_pose_vit_b16": ("classic", "simple"),
    "finetune/coco_swin_v2_b": ("mim", "sup"),
    "finetune/beit_vit_b16": ("base", "large"),
    "finetune/internimage_h": ("m3i", "640"),
    "finetune/dark_secrets_swin_v2_b": (
        *(f"{before}_{data}" for before in ("rand", "sup", "mim") for data in ("cog", "inat")),
        "mim_aircraft",
        "sup_aircraft",
        "mim_cifar10",
    ),
    "finetune/linear_vit_b16": ("m3i", "mae", "siamese_im"),
    "finetune/digit_scenes": ("cim", "scratch", "m3i"),
    "imagenet/beit_vit_b16": ("dalle", "vq_kd"),
}
CONFIGS = [
    f"{name}:{argument}" if argument else name
    for name in FILES
    for argument in ARGUMENTS.get(name, ("",))
]


def load(name):
    return Config.of(cli.load(name))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_fits_together(name):
    assemble.check(load(name))


@pytest.mark.parametrize("name", FILES)
def test_it_says_what_it_is_and_how_to_start_it(name):
    title, *rest = ast.get_docstring(ast.parse(FILES[name].read_text())).split("\n\n")
    assert title.endswith(".") and "\n" not in title and "--config" not in title
    lines = "\n".join(rest).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.strip().startswith("m3i ")]
    named = [word.partition(":")[0] for command in commands for word in command]
    assert name in named, f"no command starts {name}"
    for command in commands:
        _, verb, *words = command
        assert verb in verbs()
        for flag, word in itertools.pairwise(words):
            assert flag != "--config" or word.partition(":")[0] in FILES


def offered(published):
    """The methods that configs of one kind have, those that are forms of Table 2 among them."""
    chosen = [name for name in FILES if name.startswith(SMALL) != published]
    names = {load(name).objective["name"] for name in chosen}
    return names | (set(letters()) if "table2" in names else set())


def letters():
    """{method: the forms of Table 2 that say the same}, for the methods beside `table2`."""
    found = {}
    for name, method in methods.METHODS.items():
        if method.__module__ == forms.__name__ and name != "table2":
            line = describe.lines(method())
            found[name] = [f for f in forms.FORMS if describe.lines(forms.table2(form=f)) == line]
    return found


def test_the_methods_beside_table2_are_forms_of_it():
    assert letters() == {
        "auto_encoder": ["a"],
        "global_distillation": ["c"],
        "mim_global": ["f"],
        "novel_view_synthesis": ["g"],
        "siamese_im_pixel": ["j"],
    }


def test_every_method_has_a_config_of_minutes():
    assert not set(methods.METHODS) - {"combine"} - offered(published=False)


def test_every_published_method_has_its_recipe():
    assert not set(methods.PUBLISHED) - offered(published=True)


def test_recipes_and_library_agree_on_what_has_one_dimension():
    assert recipes.ONE_DIMENSIONAL == optimizer.NO_DECAY
    assert recipes.WITHOUT_CLASS == optimizer.WITHOUT_CLASS
    assert recipes.WITHOUT_TOKENS == optimizer.WITHOUT_TOKENS


# What the published code exempts beside one-dimensional parameters, of what our encoders have
# (`no_weight_decay` of BEiT's, SimMIM's, FD's, DeiT's models; MSN's groups; DINO's and MAE's have
# none); big_vision decays matrices only.
TOKENS = {"cls_token", "pos_embed"}
EXEMPT = {
    **dict.fromkeys(("cae", "beit", "beit_v2", "data2vec", "feature_distillation"), TOKENS),
    **dict.fromkeys(("vq_kd", "vq_vae", "cim", "simmim"), TOKENS),
    "imagenet/mixed_classification_vit_b16": TOKENS,
    "finetune/cim": TOKENS,
    "finetune/digit_scenes": TOKENS,
    "finetune/small": TOKENS,
    "finetune/light": TOKENS,
    "finetune/segmentation": TOKENS,
    "finetune/depth": TOKENS,
    "finetune/pose": TOKENS,
    "finetune/detection": TOKENS,
    "finetune/vit": TOKENS,
    "finetune/mae": TOKENS,
    "finetune/replknet": {"mask_token"},
    "finetune/dark_secrets": {"cpb_mlp"},
    **{
        f"finetune/{name}_swin": {"cpb_mlp"}
        for name in ("ade20k", "nyu", "kitti", "coco_pose", "crowdpose")
    },
    "finetune/coco_pose_vit": {"pos_embed"},
    "finetune/coco_vit": {"pos_embed"},
    "finetune/lvis_vit": {"pos_embed"},
    "finetune/coco_swin": {"cpb_mlp"},
    "finetune/coco_mask2former": {"cpb_mlp", "query", "query_position", "level_embed"},
    "finetune/coco_dino_internimage": {"sampling_offsets"},
    "finetune/ade20k_mask2former": {"cpb_mlp", "query", "query_position", "level_embed"},
    "simmim_swin": {"mask_token", "cpb_mlp"},
    "simmim_replknet": {"mask_token"},
    "msn": {"prototypes"},
    "yfcc/siglip_vit_b16": TOKENS | {"token_embed"},
    "yfcc/cappa_vit_b16": TOKENS | {"token_embed"},
    "yfcc/openvision2_vit_l14": TOKENS | {"token_embed"},
}
DECAY_ALL = (
    "imagenet/moco_v3_vit_b16",
    "imagenet/moco_resnet50",
    "imagenet/densecl_resnet50",
    "imagenet/simsiam_resnet50",
    "imagenet/swav_resnet50",
    "imagenet/lejepa_vit_s16",
    "imagenet/visreg_vit_s16",
    "finetune/ade20k_resnet50",
    "finetune/coco_dino_resnet50",
    "finetune/ade20k_linear_vit_l16",
    "finetune/nyu_linear_vit_l16",
    "finetune/track_swin_v2_b",
)
# Biases that decay where no other of one dimension does.
BIASES = {
    "imagenet/supcon_resnet50": "^decoders/projector/head/bias$",
    "finetune/coco_vit_b16": r"(?<!norm)(?<!norm\d)/bias$",
    "finetune/lvis_vit_b16": r"(?<!norm)(?<!norm\d)/bias$",
    **{
        f"finetune/{name}swin_v2_b": r"^(?!.*/cpb_mlp/).*(?<!norm)(?<!norm\d)[/_]bias$"
        for name in ("ade20k_mask2former_", "coco_mask2former_", "coco_")
    },
}


# What a scan walks in heads of queries.
LAYERS = re.compile(r"/post_norms/|^decoders/\w+/((pixel_decoder/)?encoder|decoder/layers)/")


# But those of folders, whose heads and rates are those of digit scenes (tests/training/automatic).
@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("folder/")])
def test_exactly_the_published_leaves_decay(name):
    config, stem = load(name), name.partition("/")[2]
    method = assemble.objective(config)
    network = assemble.build_network(config, method)
    shapes = jax.eval_shape(partial(framework.init, method, network), jax.random.key(0))[0]
    pattern = re.compile(config.optimizer.get("no_decay", optimizer.NO_DECAY))
    named = [start for start in EXEMPT if name.startswith(start) or stem.startswith(start)]
    names = EXEMPT[max(named, key=len)] if named else set()
    for leaf, shape in trees.named_leaves(shapes):
        if re.search(trees.STATISTICS, leaf):
            continue
        stacked = bool(sharding.STACKED.search(leaf)) or bool(LAYERS.search(leaf))
        flat = len(shape.shape) - stacked <= 1 and not leaf.endswith("/length")  # DINO's is (K, 1)
        exempt = (flat or bool(set(leaf.split("/")) & names)) and name not in DECAY_ALL
        exempt = exempt and not re.search(BIASES.get(name, "^$"), leaf)
        assert bool(pattern.search(leaf)) == exempt, leaf

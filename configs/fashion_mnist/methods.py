r"""Any method of the table on Fashion-MNIST, with its recipe of digit scenes: minutes on one core.

    m3i pretrain --config fashion_mnist/methods:byol \
        --workdir runs/garments_byol

A ViT of four blocks and 64 features, 36 cells of 4 pixels. Objective, heads and rates are those of
`configs/digit_scenes`; captions are the names of the classes. Teachers and tokenizers are runs of
this config, too: `:clip`, `:vq_vae` and `:vq_kd`. docs/methods_study.md compares them all.
"""

import importlib

from m3i_jax.configs import recipes

# Rows whose config of digit scenes has another name, or an argument.
RECIPES = {
    "auto_encoder": ("table2", "a"),
    "global_distillation": ("table2", "c"),
    "mim_global": ("table2", "f"),
    "novel_view_synthesis": ("table2", "g"),
    "siamese_im_pixel": ("table2", "j"),
    "combine": ("mae_clip",),
    "m3i_images": ("m3i", "images"),
}
# tower -> the run of this config that it is of, frozen.
FROZEN = {
    "feature_distillation": {"teacher": "clip"},
    "milan": {"teacher": "clip"},
    "vq_kd": {"teacher": "clip"},
    "beit": {"tokenizer": "vq_vae"},
    "beit_v2": {"tokenizer": "vq_kd"},
    "cae": {"tokenizer": "vq_vae"},
    "siamese_words": {"tokenizer": "vq_vae"},
    "cim": {"tokenizer": "vq_vae"},
}


def get_config(method="simclr"):
    name, *argument = RECIPES.get(method, (method,))
    scenes = importlib.import_module(f"m3i_jax.configs.digit_scenes.{name}")
    config = recipes.on_garments(scenes.get_config(*argument))
    for tower, run in FROZEN.get(method, {}).items():
        config.weights[tower].path = f"runs/garments_{run}"
    return config

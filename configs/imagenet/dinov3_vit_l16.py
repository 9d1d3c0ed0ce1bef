r"""DINOv3's small recipe, ViT-L/16, ImageNet-1k; Gram anchoring behind it (Siméoni et al. 2025).

    m3i plan --config imagenet/dinov3_vit_l16
    m3i plan --config imagenet/dinov3_vit_l16:gram

DINOv2 with rotary positions, Sinkhorn and heads of their own for patches. `:gram` goes on from that
run with the numbers of the ViT-7B, for which alone they are published. Reported without it: 83.3
linear, 82.2 kNN (README of its code); not yet run by us.
Constants and sources: docs/methods.md#gram-anchoring.
"""

from m3i_jax.configs.imagenet import dinov2_vit_l16


def get_config(argument=""):
    config = dinov2_vit_l16.get_config()
    config.encoder.positions = "rope"
    for name, pool in (("projector", "none"), ("prototypes", "none")):
        config.decoders[f"patch_{name}"] = dict(config.decoders[name], pool=pool)
        config.decoders[name].pool = "class"
    config.decoders.patch_prototypes.input = "patch_projector"
    config.optimizer.lr = 1e-3 * 2**0.5
    config.optimizer.late = (("^decoders/(patch_)?prototypes/", 1 / 100),)
    gram = 0.0
    if argument == "gram":
        gram = 2.0
        config.duration, config.warmup = "200000 steps", "0 steps"
        config.init_from = dict(path="runs/dinov3_vit_l16", branch="online")
        config.target.momentum = config.target.end = 0.999
        config.optimizer = dict(
            config.optimizer, lr=3e-5, end_lr=3e-5, late=(), weight_decay_end=0.04
        )
    own = dict(config.objective, sinkhorn=3, untied=True, target=config.target)
    methods = dict(dinov2=own)
    config.objective = dict(name="combine", methods=methods, gram=gram, refresh=10_000)
    config.target = {}
    return config

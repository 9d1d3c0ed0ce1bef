r"""DINOv2 with Gram anchoring, as DINOv3 has it, on the embedded digit scenes.

m3i pretrain --config digit_scenes/dinov3 --workdir runs/dinov3

Patches are to be as alike to each other as the moving average of up to 100 steps ago finds them.
"""

from m3i_jax.configs.digit_scenes import dinov2


def get_config():
    config = dinov2.get_config()
    own = dict(config.objective, target=config.target)
    config.objective = dict(name="combine", methods=dict(dinov2=own), gram=0.2, refresh=100)
    config.target = {}
    # A tenth of DINOv3's weight, and none at first: what an average of noise finds holds back.
    config.weighting = dict(name="scheduled", groups=dict(gram=(0.0, 1.0)))
    return config

r"""VISReg on the embedded digit scenes, with two small crops.

m3i pretrain --config digit_scenes/visreg --workdir runs/visreg
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_small_crops(
        objective=dict(name="visreg", local=2, weight=0.6, slices=64),
        decoders=dict(projector=dict(recipes.MLP, layers=3, pool="class", activation="gelu")),
    )

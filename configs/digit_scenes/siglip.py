r"""SigLIP on the embedded digit scenes and their captions.

python experiments/pretrain.py --config configs/digit_scenes/siglip.py --workdir runs/siglip
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_captions(
        objective=dict(name="siglip", hidden=0.0),
        decoders=dict(
            text=dict(
                name="linear", pool="class", bias=False, logit_scale=True, logit_start=10.0,
                logit_bias=-10.0,
            ),
        ),
    )  # fmt: skip

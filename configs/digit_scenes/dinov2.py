r"""DINOv2 on the embedded digit scenes, without small crops, with registers and heads for patches.

m3i pretrain --config digit_scenes/dinov2 --workdir runs/dinov2
"""

from m3i_jax.configs import recipes

HEAD = dict(recipes.MLP, layers=3, norm="none", activation="gelu", unit_norm=True)
LAST = dict(name="prototypes", out=512)


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, hide="mask", registers=2),
        objective=dict(
            name="dinov2", local=0, hidden=0.3, spread=0.2, temperature=0.1,
            target_temperature=0.07, sinkhorn=3, untied=True, koleo=0.1, koleo_group=64,
        ),
        target=dict(name="ema", heads=("projector", "prototypes"), momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(HEAD, pool="class"),
            prototypes=dict(LAST, pool="class", input="projector"),
            patch_projector=dict(HEAD, pool="none"),
            patch_prototypes=dict(LAST, pool="none", input="patch_projector"),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, clip=3.0, clip_by=("^encoders/", "^decoders/")),
    )  # fmt: skip

r"""SigLIP on the embedded digit scenes and their captions.

    m3i pretrain --config digit_scenes/siglip --workdir runs/siglip
    m3i pretrain --config digit_scenes/siglip:two \
        --workdir runs/siglip_two

`:two` has what SigLIP 2 adds (docs/methods.md#siglip): a decoder of captions, and by a quarter
iBOT's terms of small crops and hidden patches. It is a combination of methods, no recipe.
"""

from m3i_jax.configs import recipes

HEAD = dict(
    name="linear", pool="class", bias=False, logit_scale=True, logit_start=10.0, logit_bias=-10.0
)
BRANCH = ("projector", "prototypes")


def get_config(version=""):
    decoders, siglip = dict(text=HEAD), dict(name="siglip", hidden=0.0)
    if not version:
        return recipes.with_captions(objective=siglip, decoders=decoders)
    ibot = dict(name="ibot", local=2, target=dict(name="ema", heads=BRANCH, momentum=0.98, end=1.0))
    methods = dict(siglip=siglip, cappa=dict(name="cappa", words=512), ibot=ibot)
    return recipes.with_small_crops(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        captions=dict(vocabulary=512, length=16),
        towers=dict(text=recipes.TEXT),
        objective=dict(name="combine", methods=methods, weights=dict(ibot=0.25)),
        decoders=dict(
            decoders,
            caption=dict(name="caption", width=64, depth=1, heads=2, length=16),
            projector=dict(
                recipes.MLP, layers=3, norm="none", activation="gelu", pool="both", unit_norm=True
            ),
            prototypes=dict(name="prototypes", out=512, pool="both", input="projector"),
        ),
    )

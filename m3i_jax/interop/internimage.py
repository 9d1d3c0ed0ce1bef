"""The table of InternImage's official code.

Its norms stand in a sequence with changes of the order of axes, and so have a number: 0 where the
channels came last already, 1 where they came first. Of M3I's networks the decoder `category` is
the pooling with the norm behind it (clip_projector, fc_norm); the classifier goes.
"""

from m3i_jax.interop.parts import CONVOLUTION, TRANSPOSED, convolution, leaf, linear, norm
from m3i_jax.interop.rename import Layout, Rule, Transform, under

POINTWISE = Transform(lambda x: x[:, :, 0, 0].T, lambda x: (x.T[:, :, None, None],))

_BLOCK = under(
    (
        *norm("norm1", "norm1.0"),
        *linear("dcn/input_proj", "dcn.input_proj"),
        *convolution("dcn/dw_conv", "dcn.dw_conv.0"),
        *norm("dcn/dw_norm", "dcn.dw_conv.1.1"),
        *linear("dcn/offset", "dcn.offset"),
        *linear("dcn/mask", "dcn.mask"),
        *leaf(
            "dcn/center_feature_scale_proj/kernel",
            "dcn.center_feature_scale_proj_weight",
            transform=TRANSPOSED,
        ),
        *leaf("dcn/center_feature_scale_proj/bias", "dcn.center_feature_scale_proj_bias"),
        *linear("dcn/output_proj", "dcn.output_proj"),
        *norm("res_post_norm1", "res_post_norm1.0"),
        *leaf("gamma1", "gamma1"),
        *norm("norm2", "norm2.0"),
        *linear("mlp/fc1", "mlp.fc1"),
        *linear("mlp/fc2", "mlp.fc2"),
        *norm("res_post_norm2", "res_post_norm2.0"),
        *leaf("gamma2", "gamma2"),
    ),
    ours="stages_{i}/blocks/",
    theirs="levels.{i}.blocks.{b}.",
)


def _pooling(number: str) -> tuple[Rule, ...]:
    """Attention pooling, its queries, keys and values normalised; `number` is that of its norms."""
    role = (
        rule
        for name in "qkv"
        for rule in (
            *norm(f"norm_{name}", f"clip_projector.norm1_{name}{number}"),
            *leaf(
                f"{name}/kernel", f"clip_projector.cross_dcn.{name}.weight", transform=TRANSPOSED
            ),
            *leaf(f"{name}/bias", f"clip_projector.cross_dcn.{name}_bias"),
        )
    )
    rest = (*linear("proj", "clip_projector.cross_dcn.proj"), *norm("norm", f"fc_norm{number}"))
    return under((*role, *rest), ours="decoders/category/")


INTERN_IMAGE = Layout(
    "internimage",
    under(
        (
            *convolution("patch_embed/conv1", "patch_embed.conv1"),
            *norm("patch_embed/norm1", "patch_embed.norm1.1"),
            *convolution("patch_embed/conv2", "patch_embed.conv2"),
            *norm("patch_embed/norm2", "patch_embed.norm2.1"),
            *_BLOCK,
            *norm("stages_{i}/post_norms", "levels.{i}.post_norms.{b}.0"),
            *norm("stages_{i}/norm", "levels.{i}.norm.0"),
            *leaf(
                "stages_{i}/downsample/conv/kernel",
                "levels.{i}.downsample.conv.weight",
                transform=CONVOLUTION,
            ),
            *norm("stages_{i}/downsample/norm", "levels.{i}.downsample.norm.1"),
            *linear("projection/x4", "dcnv3_head_x4.0", transform=POINTWISE),
            *linear("projection/x3", "dcnv3_head_x3", transform=POINTWISE),
        ),
        ours="encoders/image/",
    )
    + _pooling(".0")
    + _pooling(""),
    drops=(r"(head|conv_head)\..*",),
)
LAYOUTS = (INTERN_IMAGE,)

"""Tables of convolutional encoders: ResNet (torchvision and timm, Hugging Face), RepLKNet."""

from m3i_jax.interop.parts import CONVOLUTION, batch_norm, convolution, leaf
from m3i_jax.interop.rename import Layout, Rule, under

IMAGE = "encoders/image/"
COUNTERS = r".*num_batches_tracked"
# Behind the encoders of SimSiam, SwAV and VICReg.
HEADS = r"(predictor|projection_head|prototypes|projector)\..*"


def _normed(ours: str, conv: str, norm: str) -> tuple[Rule, ...]:
    """A convolution without bias and the batch norm behind it."""
    return (
        *leaf(f"{ours}/conv/kernel", f"{conv}.weight", transform=CONVOLUTION),
        *batch_norm(f"{ours}/norm", norm),
    )


_RESNET = (
    *_normed("patch_embed", "conv1", "bn1"),
    *under(
        (
            *leaf("conv{k}/kernel", "conv{k}.weight", transform=CONVOLUTION),
            *batch_norm("norm{k}", "bn{k}"),
            *_normed("downsample", "downsample.0", "downsample.1"),
        ),
        ours="stages_{i}/blocks_{j}/",
        theirs="layer{i+1}.{j}.",
    ),
)
_HUGGING_FACE_RESNET = (
    *_normed("patch_embed", "embedder.embedder.convolution", "embedder.embedder.normalization"),
    *under(
        (
            *leaf("conv{k+1}/kernel", "layer.{k}.convolution.weight", transform=CONVOLUTION),
            *batch_norm("norm{k+1}", "layer.{k}.normalization"),
            *_normed("downsample", "shortcut.convolution", "shortcut.normalization"),
        ),
        ours="stages_{i}/blocks_{j}/",
        theirs="encoder.stages.{i}.layers.{j}.",
    ),
)


def _pair(ours: str, theirs: str) -> tuple[Rule, ...]:
    """RepLKNet's conv_bn."""
    return _normed(ours, f"{theirs}.conv", f"{theirs}.bn")


# Its even blocks are the large convolutions of our units, its odd ones their MLPs.
_REPLKNET_LARGE = (
    *batch_norm("norm1", "prelkb_bn"),
    *_pair("pw1", "pw1"),
    *_pair("pw2", "pw2"),
)
_REPLKNET_BRANCHES = (
    *_pair("large", "large_kernel.lkb_origin"),
    *_pair("large/small", "large_kernel.small_conv"),
)
_REPLKNET_MLP = (
    *batch_norm("norm2", "preffn_bn"),
    *_pair("mlp/fc1", "pw1"),
    *_pair("mlp/fc2", "pw2"),
)


def _replknet(large: tuple[Rule, ...]) -> tuple[Rule, ...]:
    unit = {"ours": "stages_{i}/blocks/"}
    rules = (
        *_pair("patch_embed/conv{i+1}", "stem.{i}"),
        *under((*_REPLKNET_LARGE, *large), **unit, theirs="stages.{i}.blocks.{2b}."),
        *under(_REPLKNET_MLP, **unit, theirs="stages.{i}.blocks.{2b+1}."),
        *_pair("stages_{i}/downsample/pw", "transitions.{i}.0"),
        *_pair("stages_{i}/downsample/dw", "transitions.{i}.1"),
        *batch_norm("norm", "norm"),
    )
    return under(rules, ours=IMAGE)


RESNET = Layout(
    "resnet",
    under(_RESNET, ours=IMAGE),
    drops=(r"fc\..*", HEADS, COUNTERS),
    prefixes=("", "backbone.", "encoder.", "encoder_q.", "base_encoder."),
)
RESNET_HUGGING_FACE = Layout(
    "resnet_huggingface",
    under(_HUGGING_FACE_RESNET, ours=IMAGE),
    drops=(r"classifier\..*", COUNTERS),
    prefixes=("", "resnet."),
)
REPLKNET = Layout("replknet", _replknet(_REPLKNET_BRANCHES), drops=(r"head\..*", COUNTERS))
REPLKNET_MERGED = Layout(
    "replknet_merged",
    _replknet(convolution("large/conv", "large_kernel.lkb_reparam")),
    drops=(r"head\..*", COUNTERS),
    encoder={"merged": True},
)
LAYOUTS = (RESNET, RESNET_HUGGING_FACE, REPLKNET, REPLKNET_MERGED)

"""Tables of DALL-E's discrete VAE: OpenAI's two files, and Hugging Face's codebook of FLAVA.

OpenAI pickles whole modules, one for each half; `torch_file` reads what is their `state_dict()`.
The names of both halves are alike, but only the decoder has an `id_path` in group 1.
"""

from typing import NamedTuple

from m3i_jax.interop.parts import CONVOLUTION
from m3i_jax.interop.rename import Layout, Rule, Transform, under

# (out, in, 1, 1) <-> (in, out).
POINT = Transform(lambda x: x[:, :, 0, 0].T, lambda x: (x.T[:, :, None, None],))


class _Names(NamedTuple):
    """What two programs call the same: the leaves of a convolution, what wraps blocks and paths."""

    kernel: str = "w"
    bias: str = "b"
    group: str = ""
    path: str = ""


def _rules(names: _Names, first: str, transform: Transform, widens: int) -> tuple[Rule, ...]:
    """All of one half: `first` is our name of its input, `widens` its first stage with shortcut."""

    def convolution(ours, theirs, kernel=CONVOLUTION):
        return (
            Rule(f"{ours}/kernel", (f"blocks.{theirs}.{names.kernel}",), kernel),
            Rule(f"{ours}/bias", (f"blocks.{theirs}.{names.bias}",)),
        )

    block, wrapped = "stages_{i}/blocks_{j}", f"group_{{i+1}}.{names.group}block_{{j+1}}"
    wider, changed = f"stages_{{i+{widens}}}/blocks_0", f"group_{{i+{widens + 1}}}.{names.group}"
    return (
        *convolution(first, "input", transform),
        *convolution(block + "/conv{k}", f"{wrapped}.res_path.{names.path}conv_{{k}}"),
        *convolution(f"{wider}/shortcut", f"{changed}block_1.id_path"),
        *convolution("head", "output.conv", POINT),
    )


_HUGGING_FACE = _Names("weight", "bias", "group.", "path.")
IMAGE, PIXELS = "encoders/image/", "decoders/pixels/"
# The encoder first: all of its names would fit the decoder, too.
ENCODER = Layout(
    "dalle_encoder", under(_rules(_Names(), "patch_embed", CONVOLUTION, 1), ours=IMAGE)
)
DECODER = Layout("dalle_decoder", under(_rules(_Names(), "embed", POINT, 0), ours=PIXELS))
HUGGING_FACE = Layout(
    "dalle_encoder_huggingface",
    under(_rules(_HUGGING_FACE, "patch_embed", CONVOLUTION, 1), ours=IMAGE),
)
LAYOUTS = (ENCODER, DECODER, HUGGING_FACE)

r"""SimMIM, RepLKNet-31B with a lifted stem, ImageNet-1k, 300 epochs (Dark Secrets C.1).

    m3i plan --config imagenet/simmim_replknet_31b

A 1×1 convolution lifts the pixels to 64 channels, where a learned vector takes the places of hidden
ones; no small kernels beside the large ones. The paper's CKA and kernel analyses are of this
encoder; not yet run by us. Its clipping is not published: 5, as SimMIM's.
Constants and sources: docs/methods.md#simmim.
"""

from m3i_jax.configs import recipes


def get_config():
    config = recipes.simmim(
        duration="300 epochs",
        encoder=dict(name="replknet_31b", small_kernel=None, lifted=64, drop_path=0.1),
    )
    config.optimizer.schedule = dict(name="milestones", milestones=(260 / 300,), factor=0.1)
    return config

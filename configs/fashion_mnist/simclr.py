r"""SimCLR on Fashion-MNIST, a small ViT, once through: minutes on two cores.

    m3i pretrain --config fashion_mnist/simclr \
        --workdir runs/garments
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fashion_mnist(
        objective=dict(name="simclr", temperature=0.2),
        decoders=dict(projector=recipes.MLP),
    )

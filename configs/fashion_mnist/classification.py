r"""Labels on Fashion-MNIST, a small ViT, once through: minutes on two cores.

    m3i pretrain --config fashion_mnist/classification \
        --workdir runs/garments_labels
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fashion_mnist(
        objective=dict(name="classification"),
        **recipes.classifier(10, 128),
    )

r"""Labels on Fashion-MNIST, a small ViT, once through: minutes on two cores.

    python experiments/pretrain.py --config configs/fashion_mnist/classification.py \
        --workdir runs/garments_labels
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fashion_mnist(
        objective=dict(name="classification"),
        **recipes.classifier(10, 128),
    )

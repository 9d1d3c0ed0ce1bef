r"""M3I on Fashion-MNIST, a small ViT, once through: minutes on two cores.

    m3i pretrain --config fashion_mnist/m3i \
        --workdir runs/garments_m3i
    m3i pretrain --config fashion_mnist/m3i:images \
        --workdir runs/garments_m3i_images

Captions are the names of the classes. `:images` leaves the image terms alone.
"""

from m3i_jax.configs import recipes


def get_config(argument=""):
    config = recipes.fashion_mnist(
        data=dict(name="fashion_mnist", captions=True),
        objective=recipes.M3I,
        target=dict(name="ema", end=0.995),
        weighting=dict(name="gradient_norm", gamma=5.0, decay=0.99),
        captions=dict(vocabulary=512, length=16),
        towers=dict(category=dict(name="table", size=10, width=128), text=recipes.TEXT),
        decoders=dict(
            image=dict(name="query", width=64, depth=1, heads=4),
            category=dict(name="attention_pool", heads=4),
            text=dict(name="attention_pool", heads=4, logit_scale=True),
        ),
    )
    return recipes.images_only(config) if argument == "images" else config

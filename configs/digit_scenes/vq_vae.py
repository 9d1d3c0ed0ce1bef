r"""VQ-VAE, a tokenizer of digit scenes that can decode its tokens: the first half of CIM.

    m3i train_tokenizer --config digit_scenes/vq_vae \
        --workdir runs/painter
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=recipes.FINE_VIT,
        augment=dict(),
        objective=dict(name="vq_vae", vocabulary=256, decay=0.99, commitment=0.02),
        decoders=dict(bottleneck=recipes.BOTTLENECK, painter=recipes.PAINTER),
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.99, weight_decay=1e-4, no_decay=recipes.WITHOUT_CLASS
        ),
    )

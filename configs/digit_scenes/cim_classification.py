r"""CIM and labels at once, over one encoder: it repairs a corrupted image and names the whole one.

    m3i train_tokenizer --config digit_scenes/vq_vae \
        --workdir runs/painter
    m3i pretrain --config digit_scenes/cim_classification \
        --workdir runs/cim_classification
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_painter(
        augment=dict(),
        objective=dict(
            name="combine",
            methods=dict(
                cim=dict(name="cim", vocabulary=256, hidden=0.5),
                supervised=dict(name="classification"),
            ),
            # CIM's own weight of 10 for pixels would leave labels a tenth of the direction.
            weights=dict(cim=0.1),
        ),
        towers=dict(
            generator=dict(recipes.GENERATOR, shares=1),
            category=dict(name="table", size=10, width=128),
        ),
        decoders=dict(
            words=dict(name="linear", input="generator"),
            pixels=dict(name="linear"),
            category=dict(name="attention_pool", heads=4),
        ),
        optimizer=recipes.CIM_ADAMW,
    )

r"""The forms (a) to (l) of M3I's Table 2, ViT-B/16, ImageNet-1k, 400 epochs.

    m3i plan --config imagenet/table2_vit_b16:k

Only the three factors vary: the view that is seen, whether it is masked, and what is predicted; the
optimiser is that of M3I's Table 7. Reported, fine-tuned: 77.1 (c) to 83.7 (k), all of
them in `m3i_jax.methods.forms.FORMS`; not yet run by us.
Constants and sources: docs/methods.md#table2.
"""

from m3i_jax.configs import recipes


def get_config(form="k"):
    return recipes.table2(
        recipes.imagenet(duration="400 epochs"),
        form,
        image=dict(name="query", width=768, depth=4, heads=16),
        projector=dict(recipes.MLP, layers=3, hidden=4096, out=256),
        predictor=dict(recipes.PREDICTOR, hidden=4096),
        momentum=0.995,
    )

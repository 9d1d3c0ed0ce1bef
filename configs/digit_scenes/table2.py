r"""The 12 forms of M3I's Table 2 on the embedded digit scenes, by their letter.

    m3i pretrain --config digit_scenes/table2:k --workdir runs/table2_k

Only the three factors vary: the view that is seen, whether it is masked, and what is predicted.
"""

from m3i_jax.configs import recipes


def get_config(form="k"):
    return recipes.table2(
        recipes.digit_scenes(), form, image=recipes.QUERY, projector=dict(recipes.MLP, layers=3),
        predictor=recipes.PREDICTOR,
    )  # fmt: skip

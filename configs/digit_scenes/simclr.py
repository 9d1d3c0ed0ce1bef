r"""SimCLR on the embedded digit scenes.

    m3i pretrain --config digit_scenes/simclr --workdir runs/simclr
    m3i pretrain --config digit_scenes/simclr:black --workdir runs/b

`:black` has small digits, turned, on black ground, where no photograph tells one scene from
another, and cuts, lights and colours the views strongly: the README says what it learns.
"""

from m3i_jax.configs import recipes

# The colour of a digit says which scene it is, and not which digit.
ANY_COLOUR = dict(
    brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5, jitter=1.0, grayscale=0.2, blur=0.0
)


def get_config(argument=""):
    objective = dict(name="simclr", temperature=0.1)
    heads = dict(projector=recipes.MLP)
    if argument != "black":
        return recipes.digit_scenes(objective=objective, decoders=heads)
    return recipes.digit_scenes(
        data=dict(name="digit_scenes", clutter=0.0, shade=0.0, angle=30.0, digit=(0.35, 0.55)),
        batch=128,
        duration="600 steps",
        warmup="50 steps",
        crops=dict(scale=(0.3, 1.0), flip=0.0),
        augment=dict(a=ANY_COLOUR, b=ANY_COLOUR),
        objective=objective | dict(temperature=0.2),
        decoders=heads,
    )

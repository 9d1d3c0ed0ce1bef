r"""VQ-KD, a tokenizer of digit scenes, from a supervised teacher.

    m3i pretrain --config digit_scenes/vq_kd --workdir runs/vq_kd

The published commitment of 1 leaves three of 256 tokens in use within 150 steps on data as small as
this. The same as experiments/train_tokenizer.py. The teacher is the run of
`digit_scenes/classification.py` in runs/classification.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_teacher(
        objective=dict(name="vq_kd", vocabulary=256, decay=0.99, commitment=0.02),
        decoders=dict(
            bottleneck=recipes.BOTTLENECK,
            dense=dict(name="infill", width=128, depth=1, heads=4, head="tanh", input="bottleneck"),
        ),
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.99, weight_decay=1e-4, no_decay=recipes.WITHOUT_CLASS
        ),
    )

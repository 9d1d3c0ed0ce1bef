"""CLIP's sentences are those of its notebook."""

import hashlib

from m3i_jax.evaluation.clip_prompts import CLIP


def test_they_are_the_published_ones():
    assert len(CLIP) == len({*CLIP}) == 80 and all(text.count("{}") == 1 for text in CLIP)
    # Of the list in the notebook of commit d05afc4, joined by line feeds.
    digest = hashlib.sha256("\n".join(CLIP).encode()).hexdigest()
    assert digest == "4f976686fb651bb5803d4689dcd849f75efe0ef19a3c801355bc9a6f03c8a5af"

"""Methods that no paper has: what the table makes cheap to try."""

from m3i_jax import framework as fw
from m3i_jax import masks, renamed
from m3i_jax.framework import Code, Masking, Method, Term
from m3i_jax.ranges import Hidden, Vocabulary


@renamed.arguments(codes="vocabulary")
def siamese_words(*, hidden: Hidden = 0.5, vocabulary: Vocabulary = 8192) -> Method:
    """Visible patches of view b → the visual tokens of view a, at their relative places.

    SiameseIM's input and decoder with BEiT's target: −log P̂ = softmax cross-entropy over the
    vocabulary at all positions. No paper has it; nothing is claimed for it
    (docs/methods.md#siamese_words).
    """
    tokenizer = fw.visual_tokens(fw.frozen("tokenizer", heads="bottleneck"), vocabulary=vocabulary)
    mask = Masking(masks.blockwise, hidden)
    codes = {"x": Code("b", fw.online(), mask), "y": Code("a", tokenizer)}
    return Method(codes, {"words": Term("x", "y", "image", fw.categorical())})

"""Attention of long rows on TPUs: JAX's own kernel, which goes through the keys in blocks.

Rows that `packed` cannot hold whole, such as those of dense tasks: 1025 tokens of 512 pixels, 1370
of 518 in patches of 14. They are padded to blocks, and the padding is a segment of its own, which
attends to itself. See Dao et al. 2022, https://arxiv.org/abs/2205.14135, for the algorithm.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.parallel.constrain import by_rows
from m3i_jax.types import Array

LANES = 128  # a block has a multiple of it
BLOCK = 512  # tokens of one at most: scores of a head, 512 x 512, are 1 MiB in float32


def tiles(tokens: int) -> tuple[int, int]:
    """(blocks, tokens of each) for rows of so many tokens."""
    blocks = math.ceil(tokens / BLOCK)
    return blocks, math.ceil(tokens / blocks / LANES) * LANES


def attend_long(
    heads: int, interpret: bool, qkv: Float[Array, "batch tokens three_dim"]
) -> Float[Array, "batch tokens dim"]:
    """softmax(q kᵀ / √d) v of every head, for qkv (B, n, 3D) = (q|k|v, heads, d): (B, n, D).

    interpret: run the kernel by plain operations, on a machine without a TPU.
    """
    return by_rows(functools.partial(_images, heads, interpret), qkv)


def _images(heads, interpret, qkv):
    """The same for the images of one device."""
    batch, tokens, width = *qkv.shape[:2], qkv.shape[2] // 3
    blocks, block = tiles(tokens)
    rest = blocks * block - tokens
    qkv = qkv.reshape(batch, tokens, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    q, k, v = jnp.pad(qkv, ((0, 0), (0, 0), (0, 0), (0, rest), (0, 0)))
    q = (q.astype(jnp.float32) * q.shape[-1] ** -0.5).astype(q.dtype)
    kernel = _kernel(heads, interpret, block, tokens, tokens + rest)
    y = jax.vmap(kernel)(q, k, v)[:, :, :tokens]
    return y.transpose(0, 2, 1, 3).reshape(batch, tokens, width)


def _kernel(heads, interpret, block, tokens, length):
    """A function of q, k and v (heads, length, d) of one image; behind `tokens` is padding."""
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    sizes = library.BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        use_fused_bwd_kernel=True,  # five products, where two kernels need seven
    )
    mask = library.MultiHeadMask([library.FullMask((length, length))] * heads)
    kernel = library.make_splash_mha_single_device(mask, block_sizes=sizes, interpret=interpret)
    if length == tokens:
        return kernel
    kind = jnp.asarray(np.arange(length) >= tokens, jnp.int32)
    return functools.partial(kernel, segment_ids=library.SegmentIds(kind, kind))

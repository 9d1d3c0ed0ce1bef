"""Rows of a text table, where the ids of its tokenizer were raised by one to make 0 the padding."""

import logging
import re

import numpy as np

from m3i_jax.data.captions import Captions
from m3i_jax.interop import layouts
from m3i_jax.interop.importing import Imported

LOG = logging.getLogger(__name__)
TABLE = re.compile(r"(ema/)?encoders/[^/]+/token_embed")


def aligned(imported: Imported, tokenizer: Captions | None, *, rows: int) -> Imported:
    """A file whose text tables have the row of each token where `tokenizer` has its id.

    In a foreign file row i is of the token that its own tokenizer calls i, and we call i + 1: a row
    of zeros for padding is put in front. A file of ours has such rows already, unless it was
    converted from a foreign one and is too short for the raised ids.

    Args:
      imported: the file.
      tokenizer: of this run; None leaves everything as it is.
      rows: of the wanted table. A last row that no token reaches is given up for the first one.
    """
    if tokenizer is None or not tokenizer.raised:
        return imported
    params = dict(imported.params)
    for path, table in imported.params.items():
        ours = imported.layout is layouts.OWN and len(table) >= tokenizer.vocabulary
        if not TABLE.fullmatch(path) or ours or len(table) + 1 < tokenizer.vocabulary:
            continue
        moved = np.concatenate([np.zeros_like(table[:1]), table])
        spare = len(moved) - rows == 1 and rows >= tokenizer.vocabulary
        params[path] = moved[:rows] if spare else moved
        LOG.info("%s: rows of %s moved by one, as the ids of its tokens are", imported.path, path)
    return imported._replace(params=params)

"""Files that somebody made who means harm, each with the reader that meets it."""

from hostile import data, texts, weights

ATTACKS = (*weights.ATTACKS, *data.ATTACKS, *texts.ATTACKS)

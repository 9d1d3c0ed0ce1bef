"""`m3i embed`; --help shows its flags."""

from m3i_jax.commands import embed

__doc__ = embed.__doc__  # what --help shows

if __name__ == "__main__":
    embed.run()

"""`m3i evaluate`; --help shows its flags."""

from m3i_jax.commands import evaluate

__doc__ = evaluate.__doc__  # what --help shows

if __name__ == "__main__":
    evaluate.run()

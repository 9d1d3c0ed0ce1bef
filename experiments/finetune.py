"""`m3i finetune`; --help shows its flags."""

from m3i_jax.commands import finetune

__doc__ = finetune.__doc__  # what --help shows

if __name__ == "__main__":
    finetune.run()

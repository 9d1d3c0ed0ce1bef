"""`m3i pretrain`; --help shows its flags."""

from m3i_jax.commands import pretrain

__doc__ = pretrain.__doc__  # what --help shows

if __name__ == "__main__":
    pretrain.run()

"""`m3i train_tokenizer`; --help shows its flags."""

from m3i_jax.commands import train_tokenizer

__doc__ = train_tokenizer.__doc__  # what --help shows

if __name__ == "__main__":
    train_tokenizer.run()

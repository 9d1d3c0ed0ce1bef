"""Configs that come with the library, in folders by data set; `m3i_jax.configs` once installed."""

"""Settings of the documentation's site; `docs/build.py` builds it."""

project = "m3i_jax"
author = "the authors of m3i_jax"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "m3i_jax"
exclude_patterns = ["report/*"]
html_extra_path = ["report"]  # pages that are whole already
myst_heading_anchors = 4  # as GitHub makes them
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.header"]  # pages of methods begin their sections at the third level

"""Settings of the documentation's site; `docs/build.py` builds it."""

project = "m3i_jax"
author = "the authors of m3i_jax"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "m3i_jax"
exclude_patterns = ["report/*", "*.py", "notebooks/shapes.py"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["report"]  # pages that are whole already
myst_heading_anchors = 4  # as GitHub makes them
myst_enable_extensions = ["dollarmath"]
# Notebooks are Python files, run when the site is built; `build.py --plain` leaves that out.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds of a cell
nb_output_stderr = "remove"

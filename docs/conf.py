"""Sphinx configuration; built by `make docs` with warnings as errors."""

import importlib.metadata

project = "Verax"
author = "The Verax contributors"
copyright = "The Verax contributors"
release = importlib.metadata.version("verax")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build"]

html_theme = "sphinx_book_theme"
html_title = "Verax"
html_theme_options = {"show_toc_level": 2, "use_download_button": False, "use_fullscreen_button": False}
html_static_path = ["_static"]
html_css_files = ["verax.css"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Pages with code cells run at every build; an exception in one fails it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_merge_streams = True

# Shapes and types are stated in the docstrings' own words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autosummary_generate = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

"""Sphinx configuration; built by `make docs` with warnings as errors."""

import enum
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
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_math_renderer = "mathml"
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
autosummary_generate = True

# A name in single backticks is a link; one that leads nowhere fails the build.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types of parameters are stated in words and shapes

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"


def _mathml(translator, node, *, block):
    """Formulas as MathML, which browsers show without a script and without fetching one."""
    from docutils.utils.math import MathError, pick_math_environment, wrap_math_code
    from docutils.utils.math.latex2mathml import tex2mathml
    from sphinx.util import logging

    tex = node.astext().strip().replace(r"\dots", r"\ldots")  # the converter knows the second name only
    if block and pick_math_environment(tex).startswith("align"):
        tex = wrap_math_code(tex, as_block=True)
    try:
        return tex2mathml(tex, as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", tex, error, location=node)
        return f"<code>{translator.encode(tex)}</code>"


def _visit_math(translator, node):
    from docutils import nodes

    translator.body.append(_mathml(translator, node, block=False))
    raise nodes.SkipNode


def _visit_math_block(translator, node):
    from docutils import nodes

    translator.body.append(f'<div class="formula">{_mathml(translator, node, block=True)}</div>')
    raise nodes.SkipNode


def _skip_member(_app, _what, _name, member, skip, _options):
    """Leave out members without a docstring of their own; the class describes its fields."""
    is_field = type(member).__name__ in ("_tuplegetter", "member_descriptor", "NoneType")
    undocumented = not (getattr(member, "__doc__", None) or "").strip() and not isinstance(member, enum.Enum)
    return True if is_field or undocumented else skip


def setup(app):
    """Register the renderer of formulas, and which members a page lists."""
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    app.connect("autodoc-skip-member", _skip_member)

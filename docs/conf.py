"""Sphinx configuration; built by `make docs` with warnings as errors."""

import enum
import importlib.metadata
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

import verax

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
html_title = f"Verax {release}"
html_theme_options = {
    "show_toc_level": 2,
    "max_navbar_depth": 2,  # the sidebar lists pages of packages, not every object
    "use_download_button": False,
    "use_fullscreen_button": False,
}
html_static_path = ["_static"]
html_use_index = False  # one page of everything; the search finds names
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
    translator.body.append(_mathml(translator, node, block=False))
    raise nodes.SkipNode


def _visit_math_block(translator, node):
    translator.body.append(f'<div class="formula">{_mathml(translator, node, block=True)}</div>')
    raise nodes.SkipNode


def _skip_member(_app, _what, _name, member, skip, _options):
    """Leave out members without a docstring of their own; the class describes its fields."""
    is_field = type(member).__name__ in ("_tuplegetter", "member_descriptor", "NoneType")
    undocumented = not (getattr(member, "__doc__", None) or "").strip() and not isinstance(member, enum.Enum)
    foreign = str(getattr(member, "__module__", "")).startswith("sklearn.")  # its metadata routing, for instance
    return True if is_field or undocumented or foreign else skip


MODULES = ("verax.ntk.compat", "verax.shift.corruptions")


class LinkNames(SphinxPostTransform):
    """Make links of the library's names in code font on pages written in Markdown.

    `spectral.gcv` leads to the page of that function, whose heading leads to its source. A name that begins with a
    package of the library and leads nowhere fails the build; one without a package is a link where it is unambiguous.
    """

    default_priority = 5  # before references are resolved

    def run(self, **_kwargs):
        """Wrap each name in a reference."""
        if not str(self.document["source"]).endswith(".md"):
            return
        for node in list(self.document.findall(nodes.literal)):
            name = re.fullmatch(r"(?:verax\.)?([A-Za-z]\w*(?:\.\w+)*)(?:\(.*\))?", node.astext())
            target = name and not self._is_linked(node) and self._target(name[1])
            if target:
                where = {"refdoc": self.env.docname, "refwarn": True}
                link = addnodes.pending_xref(
                    "", node.deepcopy(), refdomain="py", reftype="obj", reftarget=target, **where
                )
                node.replace_self(link)

    def _is_linked(self, node):
        while node.parent is not None and not isinstance(node, nodes.reference | addnodes.pending_xref):
            node = node.parent
        return node.parent is not None

    def _target(self, name):
        objects = self.env.domains["py"].objects
        package, _, rest = name.partition(".")
        if package in set(verax._SUBMODULES) - {"cli", "kernels", "papers"} and rest not in (
            "",
            "py",
            "json",
            "jsonl",
            "html",
        ):
            full = f"verax.{name}"
            while full not in objects and full.count(".") > 2:
                full = full.rpartition(".")[0]  # a field has no place of its own; its class has
            return full if full.count(".") > 1 and f"verax.{name}" not in MODULES else None
        distinct = package[0].isupper() or "_" in package
        same = [
            full
            for full, entry in objects.items()
            if entry.objtype in ("function", "class", "exception") and full.endswith(f".{package}")
        ]
        return same[0] if distinct and len(same) == 1 else None


def setup(app):
    """Register the renderer of formulas, and which members a page lists."""
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    app.connect("autodoc-skip-member", _skip_member)
    app.add_post_transform(LinkNames)

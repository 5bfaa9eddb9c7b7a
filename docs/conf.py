"""How Sphinx makes the documentation: `sphinx-build -W -j auto docs build/docs`."""

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

import tfsupermask

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "tfsupermask"
release = tfsupermask.__version__
copyright = "the authors of tfsupermask"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
html_theme = "furo"
html_title = f"tfsupermask {release}"
default_role = "code"
exclude_patterns = ["examples/*", "gallery/**/*.ipynb", "sg_execution_times.rst"]

html_extra_path = ["../CITATION.cff"]

# Links to folders of the source tree, which the site does not hold: `lead_on`.
suppress_warnings = ["myst.xref_missing", "config.cache"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "show-inheritance": True,
}
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Input shape", "Output shape", "Reference"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
}

_ELSEWHERE = {"WORKSPACE.md": "workspace.html", "CITATION.cff": "CITATION.cff"}


def lead_on(app, doctree):
    """Leads links to files above docs/ to copies; those to folders become text."""
    for kind in (addnodes.pending_xref, addnodes.download_reference):
        for link in list(doctree.findall(kind)):
            target = link["reftarget"].removeprefix("../")
            if target in _ELSEWHERE:
                to = nodes.reference("", "", *link.children, refuri=_ELSEWHERE[target])
                link.replace_self(to)
            elif (Path(app.srcdir).parent / target).is_dir():
                link.replace_self(link.children)


def setup(app):
    """Has Sphinx call `lead_on` for each page that it has read."""
    app.connect("doctree-read", lead_on)

"""How Sphinx makes the documentation: `sphinx-build -W -j auto docs build/docs`."""

import os

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

# Links in method.md and results.md lead to files of the source tree, which these pages
# do not hold.
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

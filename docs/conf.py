"""Sphinx's settings: the pages of this folder as HTML.

The pages are plain Markdown, to be read where they lie as well. So none holds a directive: a page that lists others gets
its table of contents from its links, and a link that leaves this folder becomes its text. A page that no list links to
is a warning, and warnings are errors.
"""

import re

project = "Linux images for three architectures"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["scripts"]
nitpicky = True
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"page_width": "75em", "show_powered_by": False}
html_copy_source = False
html_use_index = False
highlight_language = "none"

#: Pages that list others.
LISTS = ("index", "decisions/README", "errors/README")


def adapt(app, docname, source):
    """Make of a page of a code host one of Sphinx; `source` is a list that holds its text."""
    up = r"\.\./" * (docname.count("/") + 1)
    text = re.sub(rf"\[([^\]]+)\]\({up}[^)]*\)", r"\1", source[0])
    if docname in LISTS:
        pages = dict.fromkeys(re.findall(r"\]\(((?!\.\./)[\w/-]+)\.md\)", text))
        text += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"
    source[0] = text


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", adapt)

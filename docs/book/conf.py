"""The book: README, notebooks as they were executed, exercises and docs as one static site. `make book` builds it.

The sources stay where they are. The project's folder is Sphinx's source folder, so a link between two files holds in
the book as it does in a clone. Nothing is executed and nothing is loaded from another server.
"""

import os
import re
import shutil
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import nbformat
from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref

HERE = Path(__file__).parent

project = "Learn facial-expression recognition"
html_title = project
highlight_language = "text"  # where a page does not name one

extensions = ["myst_nb"]
root_doc = "README"

# The pages and their order. README itself should not show it to readers of the repository.
CONTENTS = {
    "The series": ["notebooks/0*"],
    "Exercises": ["notebooks/exercises/*"],
    "Appendix": ["notebooks/appendix/*"],
    "Beside them": [
        "docs/glossary",
        "data/README",
        "results/README",
        "docs/*",
        "CONTRIBUTING",
        "SECURITY",
        "CHANGELOG",
    ],
    "Measurements": ["benchmarks/README", "benchmarks/*"],
}
SUFFIXES = (".md", ".ipynb")
PAGES = [root_doc, *(page for pages in CONTENTS.values() for page in pages)]
include_patterns = [page + suffix for page in PAGES for suffix in SUFFIXES]
# Not searched; some of them are large.
exclude_patterns = [".*", "build", "dist", "runs", "handout", "**/.ipynb_checkpoints"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_heading_anchors = 3
myst_enable_extensions = []  # no formulas: what draws them would come from another server

html_theme = "sphinx_book_theme"
html_static_path = [str(HERE / "static")]
html_css_files = ["book.css"]
html_show_sphinx = False
html_theme_options = {
    "footer_content_items": [],
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search field stands in the side bar
    "show_toc_level": 2,
    "use_download_button": True,
}
html_context = {"default_mode": "auto"}

# Where the project lies on the web, which only a fork can say. Without it the book has no buttons that start it.
REPOSITORY = os.environ.get("BOOK_REPOSITORY", "").removesuffix(".git").rstrip("/")
BRANCH = os.environ.get("BOOK_BRANCH", "main")
if REPOSITORY:
    html_theme_options |= {
        "repository_url": REPOSITORY,
        "repository_branch": BRANCH,
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def lower_anchors(app, name, text):
    """Spell links to a notebook's own headings as this book does: JupyterLab calls "## How strong?" #How-strong?"""
    if Path(app.env.doc2path(name)).suffix == ".ipynb":
        notebook = nbformat.reads(text[0], as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"(?<=\]\(#)[^)]+", _as_here, cell.source)
        text[0] = nbformat.writes(notebook)


def _as_here(anchor):
    return re.sub(r"[^\w-]", "", unquote(anchor[0]).lower())


def add_contents(app, name, text):
    """Append the table of contents to the first page."""
    if name == root_doc:
        for caption, pages in CONTENTS.items():
            listed = "\n".join(pages)
            text[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{listed}\n```\n"


def leave_the_book(app, page):
    """Turn a link to a file that is no page into a download, and one to a folder into a link to the repository.

    A link that leads nowhere is left as it is, and Sphinx warns of it.
    """
    for link in list(page.findall(pending_xref)):
        if link["reftype"] != "myst" or link["reftarget"] in app.env.found_docs:
            continue
        if link["refdomain"] == "doc":
            (path,) = [path for path in Path(app.srcdir).glob(link["reftarget"] + ".*") if path.suffix in SUFFIXES]
            inside = download_reference(reftarget=f"/{path.relative_to(app.srcdir)}", refdoc=link["refdoc"])
        else:
            path = Path(app.env.relfn2path(link["reftarget"])[1])
            if not path.is_dir():
                continue
            where = f"{REPOSITORY}/tree/{BRANCH}/{path.relative_to(app.srcdir)}"
            inside = nodes.reference(refuri=where) if REPOSITORY else nodes.inline()
        link.replace_self(inside)
        inside += link.children


def describe_figures(app, page):
    """Give figures of a notebook their alternative text, where nbconvert looks for it too: the output's metadata."""
    source = Path(app.env.doc2path(app.env.docname))
    known = {}
    if source.suffix == ".ipynb":
        cells = nbformat.read(source, as_version=4).cells
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
                # myst-nb names the file by its content.
                text = output.metadata.get(kind, {}).get("alt") or output.metadata.get("alt")
                known[sha256(b64decode(output.data[kind])).hexdigest()] = text
    for figure in page.findall(nodes.image):
        if not figure.get("alt"):
            figure["alt"] = known.get(Path(figure["uri"]).stem) or "Figure made by the code above"


def name_the_first_page(app, failed):
    """A site begins at index.html."""
    if not failed and app.builder.name == "html":
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app):
    app.connect("source-read", lower_anchors)
    app.connect("source-read", add_contents)
    # Before Sphinx collects what can be downloaded.
    app.connect("doctree-read", leave_the_book, priority=100)
    app.connect("doctree-read", describe_figures)
    app.connect("build-finished", name_the_first_page)

"""The book, built once from the files as they are: its links, what it loads, and how it behaves in a browser."""

import os
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

bs4 = pytest.importorskip("bs4")
pytest.importorskip("sphinx_book_theme", reason="the extra [book] is not installed")

ROOT = Path(__file__).resolve().parents[2]
FORK = "https://github.com/OWNER/PROJECT"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Build the book as `make book` does, for a fork; a link that leads nowhere fails here, with its line."""
    folder = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-W", "--keep-going", "-n", "-c", "docs/book"]
    command += ["-d", str(folder / "doctrees"), ".", str(folder / "book")]
    environment = {**os.environ, "BOOK_REPOSITORY": f"{FORK}.git", "BOOK_BRANCH": "main"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "book"


@pytest.fixture(scope="module")
def pages(book):
    # The theme leaves a template of its own among its static files.
    found = [path for path in book.rglob("*.html") if "_static" not in path.parts]
    return {path: bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in found}


@pytest.fixture(scope="module")
def address(book):
    """Serve the book on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(book))

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_holds_what_a_reader_looks_for_and_no_solution(book):
    sources = [ROOT / "docs" / "glossary.md"]
    for folder in ("notebooks", "notebooks/appendix", "notebooks/exercises"):
        sources += (ROOT / folder).glob("*.ipynb")
    wanted = {source.relative_to(ROOT).with_suffix(".html") for source in sources}
    found = {path.relative_to(book) for path in book.rglob("*.html")}
    assert wanted <= found and Path("index.html") in found
    assert not [path for path in found if "solutions" in path.parts]


def test_every_link_inside_leads_to_a_page_and_a_place_on_it(book, pages):
    names = {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in pages.items()}
    broken = []
    for page, soup in pages.items():
        for tag in soup.find_all(["a", "img", "script", "link"]):
            address = urlsplit(tag.get("href") or tag.get("src") or "")
            if address.scheme or address.netloc:
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            place = unquote(address.fragment)
            if not target.exists() or (place and target in names and place not in names[target]):
                broken.append(f"{page.relative_to(book)}: {tag.get('href') or tag.get('src')}")
    assert broken == []


def test_no_page_loads_anything_from_another_server(pages):
    for page, soup in pages.items():
        loaded = [tag.get("src") or "" for tag in soup.find_all(["script", "img", "iframe", "video"])]
        loaded += [tag["href"] for tag in soup.find_all("link", href=True) if "stylesheet" in tag.get("rel", [])]
        assert [address for address in loaded if urlsplit(address).netloc] == [], page


def test_a_notebook_can_be_fetched_and_started_elsewhere(book, pages):
    for name in ("notebooks/03_custom_cnn", "notebooks/exercises/01_dataset"):
        links = {tag["href"] for tag in pages[book / f"{name}.html"].find_all("a", href=True)}
        assert f"https://mybinder.org/v2/gh/OWNER/PROJECT/main?urlpath=lab/tree/{name}.ipynb" in links
        assert f"https://colab.research.google.com/github/OWNER/PROJECT/blob/main/{name}.ipynb" in links
        assert (book / "_sources" / f"{name}.ipynb").read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


def test_every_picture_has_words_that_are_no_file_name(pages):
    for page, soup in pages.items():
        for picture in soup.find_all("img"):
            words = picture.get("alt", "")
            assert words and "/" not in words and not words.endswith(".png"), (page, picture)


def test_pages_open_without_a_request_to_anybody_else_and_can_be_searched(address, page):
    requests, failed = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    for name in ("index.html", "notebooks/06_resnet50.html", "docs/glossary.html#overfitting"):
        page.goto(f"{address}/{name}")
        page.wait_for_load_state("networkidle")
    assert page.locator("#overfitting h3").is_visible()
    page.goto(f"{address}/search.html?q=stratified")
    page.locator("#search-results li").first.wait_for()
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert [url for url in failed if not url.endswith("favicon.ico")] == []


def test_on_a_telephone_no_page_of_the_series_scrolls_sideways(address, page):
    page.set_viewport_size({"width": 390, "height": 800})
    for source in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page.goto(f"{address}/notebooks/{source.stem}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, source.stem

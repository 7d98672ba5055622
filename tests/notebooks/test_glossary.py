"""The glossary: in order, short, and about words that the notebooks use."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:.+\n)+)", TEXT, flags=re.M))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "notebooks" / "appendix").glob("*.ipynb"))
# A word may be bent in a sentence ("the backbone is frozen", "max-pooling"), or have a shorter name there.
SAID = {
    "Augmentation": "augment",
    "Calibration": "calibrat",
    "Confidence interval": "95 % interval",
    "Fine-tuning": "FINE_TUNE",
    "Frozen layer": "frozen",
    "Global average pooling": "GlobalAveragePooling",
    "Head": "head",
    "Histogram equalisation": "histogram-equalised",
    "Learning rate": "step size",
    "Near copy": "near cop",
    "Oversampling": "oversampl",
    "p-value": "*p*",
    "PublicTest and PrivateTest": "PrivateTest",
    "Training part": "part to learn from",
}


def anchor(heading):
    """Return what GitHub and the book call a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def notebooks():
    return "\n".join(cell.source for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells).lower()


def test_every_heading_has_an_entry_and_they_are_in_order():
    headings = re.findall(r"^### (.+)$", TEXT, flags=re.M)
    assert headings == list(ENTRIES) == sorted(headings, key=lambda word: re.sub(r"\W", "", word).lower())
    assert len({anchor(heading) for heading in headings}) == len(headings) >= 50


def test_an_entry_is_a_few_sentences():
    for heading, entry in ENTRIES.items():
        assert len(re.findall(r"[.?!](?=\s|$)", entry)) <= 3 and len(entry.split()) <= 50, heading


def test_links_inside_the_glossary_lead_to_an_entry():
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert links and set(links) <= {anchor(heading) for heading in ENTRIES}


@pytest.mark.parametrize("heading", ENTRIES)
def test_the_notebooks_use_the_word(heading, notebooks):
    assert SAID.get(heading, heading).lower() in notebooks

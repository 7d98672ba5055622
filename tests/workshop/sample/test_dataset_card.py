"""The dataset card repeats what was measured, and nothing else."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_card_has_every_measured_row():
    measured = (ROOT / "workshop" / "sample" / "quality" / "sample_realism.md").read_text().splitlines()
    card = (ROOT / "data" / "README.md").read_text().splitlines()
    rows = [line for line in measured if line.startswith("| ") or line.startswith("Measured with")]
    assert len(rows) > 20
    assert [line for line in rows if line not in card] == []


def test_card_says_what_the_sample_is_not():
    card = (ROOT / "data" / "README.md").read_text()
    assert "Nobody's" in card and "are not FER-2013 figures" in " ".join(card.split())

"""What is kept of the experiments on FER-2013 agrees with the tables and with the code."""

import json
import sys

import pytest

import fer_utils.experiments.as_recorded  # noqa: F401
from benchmarks.unequal_classes import REMEDIES
from fer_utils.common.paths import project_root
from fer_utils.experiments import as_recorded, remedy_table, wrong_protocols

TABLES = {"broken_protocols": wrong_protocols.readable, "imbalance": remedy_table.readable}


@pytest.mark.parametrize("name", TABLES)
def test_the_table_holds_what_was_recorded(name):
    text = (project_root() / "benchmarks" / f"{name}.md").read_text(encoding="utf-8")
    shown = TABLES[name](as_recorded.recorded_experiment(name))
    for row, cells in shown.iterrows():
        line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
        for cell in cells:
            assert cell in line, (row, cell)
    assert "on FER-2013 (28,709 Training" in text, "the sample's figures do not belong there"


def test_recorded_protocols_are_those_of_today_line_by_line():
    recorded = as_recorded.recorded_experiment("broken_protocols").set_index("protocol")["wrong line"]
    today = {name: wrong_protocols.wrong_line(protocol) for name, protocol in wrong_protocols.PROTOCOLS.items()}
    assert recorded.to_dict() == today, "run benchmarks/broken_protocols.py again"


def test_on_fer2013_only_the_honest_protocol_reports_an_honest_number():
    rows = as_recorded.recorded_experiment("broken_protocols").set_index("protocol")
    honest = rows.loc["honest"]
    assert honest["known"] == 0 and honest["low"] < honest["honest high"] and honest["honest low"] < honest["high"]
    for name, row in rows.drop(index=["honest", "shuffled predictions"]).iterrows():
        assert row["low"] > row["honest high"], name
    assert rows.loc["shuffled predictions", "high"] < honest["honest low"]


def test_recorded_remedies_were_compared_over_several_seeds():
    rows = as_recorded.recorded_experiment("imbalance")
    assert rows["remedy"].unique().tolist() == list(REMEDIES)
    assert rows["measure"].unique().tolist() == list(remedy_table.MEASURES)
    assert (rows["seeds"] >= 3).all() and rows["n"].max() == 3589


def test_an_unknown_experiment_has_no_record(monkeypatch):
    assert as_recorded.recorded_experiment("perpetual_motion") is None
    monkeypatch.setattr(sys.modules["fer_utils.experiments.as_recorded"], "project_root", lambda: None)
    assert as_recorded.recorded_experiment("imbalance") is None


@pytest.mark.parametrize("name", ["twins", "worth", "memory", "contradictions"])
def test_the_recorded_audit_is_what_its_page_shows(name):
    text = (project_root() / "benchmarks" / "leakage_audit.md").read_text(encoding="utf-8")
    table = as_recorded.recorded_table("leakage_audit", name)
    for row, cells in table.iterrows():
        assert f"| {row} | " + " | ".join(map(str, cells)) + " |" in text
    assert as_recorded.recorded_table("perpetual_motion", name) is None


def test_the_page_about_number_formats_is_made_from_its_record():
    from benchmarks import precision

    root = project_root()
    content = json.loads((root / "results" / "experiments" / "precision.json").read_text(encoding="utf-8"))
    assert content["data"]["name"] == "FER-2013"
    assert (root / "benchmarks" / "precision.md").read_text(encoding="utf-8") == precision.page(content)


@pytest.mark.parametrize("name", ["gentle_start", "muon"])
def test_the_page_about_two_ways_is_made_from_its_record(name):
    import importlib

    root = project_root()
    content = json.loads((root / "results" / "experiments" / f"{name}.json").read_text(encoding="utf-8"))
    assert content["data"]["name"] == "FER-2013"
    experiment = importlib.import_module(f"benchmarks.{name}").EXPERIMENT
    assert (root / "benchmarks" / f"{name}.md").read_text(encoding="utf-8") == experiment.page(content)
    rows = as_recorded.recorded_experiment(name)
    assert tuple(rows["way"].unique()) == experiment.ways
    assert rows.attrs["settings"]["n_test"] == 3589
    # JSON knows no number for what was not measured.
    assert rows["PublicTest"].notna().sum() == len(rows.groupby(["seed", "way"])) >= 6


def test_every_seed_and_the_mean_of_each_way_are_drawn():
    import pandas as pd

    from fer_utils import plots

    rows = [(way, seed, epoch, 0.3) for way in ("at once", "growing") for seed in (0, 1, 2) for epoch in (1, 2)]
    (ax,) = plots.seeds_chart(pd.DataFrame(rows, columns=["way", "seed", "epoch", "validation"]), "title").axes
    assert len(ax.lines) == 2 * (3 + 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["at once, 3 seeds", "growing, 3 seeds"]


def test_the_page_of_the_ensembles_is_made_from_its_record():
    from benchmarks import ensembles

    root = project_root()
    content = json.loads((root / "results" / "experiments" / "ensembles.json").read_text(encoding="utf-8"))
    assert (root / "benchmarks" / "ensembles.md").read_text(encoding="utf-8") == ensembles.page(content)


def test_an_ensemble_is_weighed_by_pictures_that_its_calibration_has_not_seen(monkeypatch):
    import numpy as np

    from benchmarks import ensembles

    monkeypatch.setattr(ensembles, "DIVISIONS", 2)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 400)
    # Two models that each know the answer, with mistakes of their own, and one that knows nothing.
    good, other = (3 * np.eye(7)[labels] + rng.normal(0, 1.5, (400, 7)) for _ in range(2))
    blind = rng.normal(0, 1, (400, 7))
    models = {seed: np.array([[each, each]] * 2) for seed, each in enumerate((good, other, blind))}
    table = ensembles.weigh(models, labels).set_index("members")
    assert len(table) == 7 and table.index[0] == "0, 1"
    assert table.loc["0, 1", "right"] > max(table.loc["0", "right"], table.loc["1", "right"])
    # Fitted to the pictures that it is judged by, the calibration would find something in noise.
    assert table.loc["2", "nats"] > np.log(7)
    assert (table["right as it is"] == table["right"]).all(), "here both positions are the same"
    assert (table["low"] < table["right"] / 400).all() and (table["n"] == 400).all()

"""`python -m benchmarks.lessons`: does the sample show what notebooks 3 to 6 teach, whatever the seed?

Each seed runs the four notebooks with the settings of the profile `sample`. What is measured is not time but the point
of each lesson; benchmarks/lessons.md has the table.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.experiment import ROOT, as_table
from fer_utils.evaluation.scores import TOGETHER
from fer_utils.records.comparison import comparison, model_of
from fer_utils.records.run_record import load_results
from fer_utils.runner.series import run_notebooks

HEAD = """# Does the sample show what the lessons teach?

Made by `python -m benchmarks.lessons`; do not edit. Notebooks 3 to 6 on the embedded sample with the settings of the
profile `sample`, seeds {seeds}. Accuracies, in brackets the 95 % interval; both test parts together, n = {n}. The
random twin is the same network from random weights, in the better of its two stages. These are no FER-2013 figures.

"""
TITLES = {
    "custom_cnn": "custom CNN",
    "custom_cnn_augmented": "with augmentation",
    "vgg16": "VGG16",
    "resnet50v2": "ResNet50V2",
}


def measure(seed: int, out: Path) -> pd.DataFrame:
    """Run the notebooks with one seed and return one row a model; trainings that `out` holds are not done again."""
    folder = out / f"seed{seed}"
    run_notebooks("sample", ["03", "04", "05", "06"], folder, {"SEED": seed}, jobs=2)
    rows = []
    for result in load_results(folder / "runs"):
        both, public = (comparison([result], part).iloc[0] for part in (TOGETHER, "PublicTest"))
        row = {"seed": seed, "model": TITLES[model_of(result)], "weights": result["weights"], **both}
        rows.append({**row, "PublicTest": public["accuracy"], "random twin": _twin(folder / "runs", result["name"])})
    return pd.DataFrame(rows)


def _twin(runs: Path, name: str) -> float | None:
    """Return how much of the validation part the network from random weights got right, in the better stage."""
    stages = [runs / f"{name}_random{stage}" / "history.json" for stage in ("_head", "")]
    found = [pd.read_json(path)["val_accuracy"].max() for path in stages if path.is_file()]
    return max(found, default=None)


def main() -> None:
    """Measure every seed and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lessons", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "lessons", help="where the runs are kept")
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks" / "lessons.md")
    arguments = parser.parse_args()
    found = [measure(seed, arguments.out) for seed in arguments.seeds]
    table = pd.concat(found, ignore_index=True)
    text = pd.DataFrame(
        {
            "model": table["model"],
            "weights": table["weights"],
            "training": table["training"].map("{:.1%}".format),
            "validation": table["validation"].map("{:.1%}".format),
            "validation, random twin": table["random twin"].map("{:.1%}".format, na_action="ignore").fillna(""),
            "PublicTest": table["PublicTest"].map("{:.1%}".format),
            "both test parts": [f"{r.accuracy:.1%} ({r.low:.1%}–{r.high:.1%})" for r in table.itertuples()],
        }
    )
    text.index = pd.Index(table["seed"], name="seed")
    head = HEAD.format(seeds=", ".join(map(str, arguments.seeds)), n=int(table["n"].iloc[0]))
    arguments.table.write_text(head + as_table(text), encoding="utf-8")
    print(arguments.table.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

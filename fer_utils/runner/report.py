"""index.html: one page for a teacher with the results, curves, confusion matrices and times of a run."""

import base64
import io
from datetime import datetime
from pathlib import Path

import jinja2
import pandas as pd

from fer_utils import plots
from fer_utils.common.files import write_text
from fer_utils.records.comparison import TOGETHER, comparison
from fer_utils.records.run_record import load_results
from fer_utils.records.wording import data_of
from fer_utils.runner.profiles import is_appendix

TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("fer_utils.runner", "."), autoescape=True, trim_blocks=True)


def write_report(out: Path, profile: str, runs: list) -> Path:
    """Write index.html from the metrics in `out`/runs and the `NotebookRun`s of a profile, and return its path."""
    results = load_results(out / "runs")
    # Runs of another data set may be left from before; the newest one decides what the page is about.
    newest = max(results, key=lambda result: result["finished"], default=None)
    if newest:
        results = [result for result in results if result["data"]["fingerprint"] == newest["data"]["fingerprint"]]
    page = TEMPLATES.get_template("report.html.jinja").render(
        profile=profile,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        data=f"Data: {data_of(newest)}, fingerprint {newest['data']['fingerprint']}." if newest else "",
        title=data_of(newest) if newest else "",
        problems=newest["data"].get("problems", []) if newest else [],
        tables=_tables(results),
        errors=[run for run in runs if run.error],
        series=_times([run for run in runs if not is_appendix(run.notebook)]),
        appendix=_times([run for run in runs if is_appendix(run.notebook)]),
        figures=[_figures(result) for result in results],
    )
    path = out / "index.html"
    write_text(path, page)
    return path


def _tables(results: list[dict]) -> dict[str, list[dict]]:
    tables = {}
    for split in ("validation", TOGETHER, "PublicTest", "PrivateTest"):
        table = comparison(results, split)
        if len(table):
            tables[split] = [_row(row) for row in table.to_dict("records")]
    return tables


def _row(row: dict) -> dict:
    return {
        "model": row["model"],
        "n": f"{row['n']:,}",
        "accuracy": f"{row['accuracy']:.1%}",
        "95 % interval": f"{row['low']:.1%} – {row['high']:.1%}",
        "macro-F1": f"{row['macro-F1']:.3f}",
        "epochs": row["epochs"],
        "training": f"{row['train minutes']:.1f} min",
    }


def _times(runs: list) -> list[dict]:
    """Return what the page says of each notebook, in their order, and of all of them in the last row; [] for none."""
    rows = []
    for run in sorted(runs, key=lambda run: run.notebook):
        values = ", ".join(f"{name}={value}" for name, value in run.parameters.items() if name != "OUTPUT_DIR")
        rows.append({"notebook": run.notebook, "time": _minutes(run.seconds), "parameters": values})
    return rows + [{"notebook": "", "time": _minutes(sum(run.seconds for run in runs)), "parameters": ""}] * bool(rows)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _figures(result: dict) -> dict:
    history = pd.DataFrame(result["history"])
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    split = "PublicTest" if "PublicTest" in result["scores"] else next(iter(result["scores"]))
    return {
        "title": result["title"],
        "text": f"{result['parameters']:,} parameters, best epoch {result['best_epoch']} of {result['epochs']}, "
        f"chosen on the validation part.",
        "curves": _data_url(plots.learning_curves({result["title"]: history})),
        "confusion": _data_url(plots.confusion_chart(result["scores"][split], data_of(result))),
    }


def _data_url(figure) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()

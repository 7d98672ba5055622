"""A run beside the recorded one on FER-2013, so that nobody takes a short run on stand-in faces for the result."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fer_utils import plots
from fer_utils.records.chosen import reference
from fer_utils.records.series import COMMANDS
from fer_utils.records.wording import label_of, trained_on

NOT_YET = (
    "No run of this model on FER-2013 has been recorded yet, so there is nothing to compare with. "
    "On a machine with FER-2013: '{command}', then keep it as docs/record_a_run.md says."
)


def beside_reference(
    record: dict, model: str, records: list[dict] | None = None, width: float | None = None
) -> Figure | None:
    """Draw a run and the recorded FER-2013 run of the same model: validation curves, two confusion matrices.

    Prints what the two were trained on and scored; if no run is recorded, prints how to make one and returns None.

    Args:
        record: from `results.record`, scored on PublicTest.
        model: a key of `recorded.SERIES`.
        records: recorded runs to look in; by default those in results/.
        width: share of the filters that the recorded network should have; by default this run's.
    """
    known = reference(model, records, record["settings"].get("width", 1) if width is None else width)
    if known is None:
        print(NOT_YET.format(command=COMMANDS[model]))
        return None
    runs = {label_of("this run", record): record, label_of("recorded", known): known}
    for label, run in runs.items():
        score = run["scores"]["PublicTest"]
        low, high = score["accuracy_ci95"]
        print(f"{label}: PublicTest {score['accuracy']:.1%} ({low:.1%} to {high:.1%}, n = {score['n']:,})")
        trained = f"{run['epochs']} epochs{trained_on(run, model)}"
        print(textwrap.fill(trained, 96, initial_indent="    ", subsequent_indent="    "))
    if record["data"]["is_sample"]:
        print("The two are measured on different pictures: they show the same method, not the same task.")
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for (label, run), colour in zip(runs.items(), sns.color_palette("deep"), strict=False):
        measured = run["history"]["val_accuracy"]
        # Not every epoch need have been measured.
        curve = pd.Series(measured, index=np.arange(1, len(measured) + 1) * run["epochs"] / len(measured))
        axes[0].plot(curve, color=colour, marker="o" if len(curve) < 12 else None, ms=4, label=label)
    axes[0].set(xlabel="epoch", ylabel="accuracy on the validation part")
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    # Above the curves, for a label may be as wide as they are.
    axes[0].legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(-0.15, 1))
    sns.despine(ax=axes[0])
    for ax, (label, run) in zip(axes[1:], runs.items(), strict=True):
        plots.draw_confusion(ax, run["scores"]["PublicTest"], textwrap.fill(f"{label}, PublicTest", 40))
    return plots.finish(figure)

"""How to get 97 % and be wrong: one small head on fixed features, examined under protocols that each hold one mistake.

Every protocol is a function of a few lines. The line that is wrong ends in `# wrong`, and the table quotes that very
line, so that text and code cannot drift apart. What the same fitted head scores on pictures that it has really never
seen stands beside what the protocol reports.

No network is trained and nothing of Keras is loaded: histograms of oriented gradients (Dalal & Triggs 2005) and a
perceptron of two small layers show in seconds what a ResNet shows in hours.
"""

import inspect
import textwrap
from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.common.intervals import bootstrap_interval, wilson_interval
from fer_utils.experiments.workbench import Examination, Workbench, augment, is_right, oversample, split_rows

MARK = "# wrong"


# The protocols. Each returns (head, what it learned from, what it was examined on, scores).


def honest(bench: Workbench):
    """Keep all pictures of one photograph on one side; examine on the side that was held out."""
    fit, held_out = bench.honest_split
    return bench.honest_head, fit, held_out, is_right(bench.honest_head, held_out)


def training_accuracy(bench: Workbench):
    """Examine on the pictures that the head learned from."""
    fit, held_out = bench.honest_split
    examined = fit  # wrong
    return bench.honest_head, fit, examined, is_right(bench.honest_head, examined)


def oversample_then_split(bench: Workbench):
    """Repeat the pictures of small classes first, so that copies of one land on both sides."""
    pictures, seed = bench.training, bench.seed
    fit, examined = split_rows(oversample(pictures, seed), seed)  # wrong
    head = bench.learn(fit)
    return head, fit, examined, is_right(head, examined)


def augment_then_split(bench: Workbench):
    """Add changed versions first, so that versions of one picture land on both sides."""
    pictures, seed = bench.training, bench.seed
    fit, examined = split_rows(augment(pictures, seed), seed)  # wrong
    head = bench.learn(fit)
    return head, fit, examined, is_right(head, examined)


def duplicates_across_the_split(bench: Workbench):
    """Split row by row although the data holds some pictures more than once."""
    pictures, seed = bench.training, bench.seed
    fit, examined = split_rows(pictures, seed)  # wrong
    head = bench.learn(fit)
    return head, fit, examined, is_right(head, examined)


def twins_of_test_pictures(bench: Workbench):
    """Examine on the official test part without asking which of its pictures are in the training part as well."""
    fit, _ = bench.honest_split
    examined = bench.test  # wrong
    return bench.honest_head, fit, examined, is_right(bench.honest_head, examined)


def binary_accuracy(bench: Workbench):
    """Count each of seven yes-or-no answers, of which six are easy: the label is "no" for them."""
    fit, examined = bench.honest_split[0], bench.unseen_test
    probabilities, one_hot = bench.honest_head.predict_proba(examined.features), np.eye(7)[examined.labels]
    scores = ((probabilities > 0.5) == one_hot).mean(axis=1)  # wrong
    return bench.honest_head, fit, examined, scores


def shuffled_predictions(bench: Workbench):
    """Predict from a generator that shuffles, and compare with labels in the order of the files."""
    fit, examined = bench.honest_split[0], bench.unseen_test
    head, shuffled = bench.honest_head, examined.take(np.random.default_rng(bench.seed).permutation(len(examined)))
    scores = head.predict(shuffled.features) == examined.labels  # wrong
    return head, fit, examined, scores


PROTOCOLS: dict[str, Callable] = {
    "honest": honest,
    "training accuracy": training_accuracy,
    "oversample, then split": oversample_then_split,
    "augment, then split": augment_then_split,
    "duplicates across the split": duplicates_across_the_split,
    "test pictures with a twin in Training": twins_of_test_pictures,
    "binary accuracy": binary_accuracy,
    "shuffled predictions": shuffled_predictions,
}

"""Every protocol by the name it has in the table."""


def wrong_line(protocol: Callable) -> str:
    """Return the line of a protocol that is marked as wrong, without the mark; "" if it has none."""
    lines = inspect.getsource(protocol).splitlines()
    return next((line.split(MARK)[0].strip() for line in lines if line.rstrip().endswith(MARK)), "")


def examine(bench: Workbench, name: str) -> Examination:
    """Carry out one protocol; the workbench remembers the outcome.

    Args:
        bench: data, head and seed.
        name: a key of `PROTOCOLS`.
    """
    if name not in bench.done:
        head, fit, examined, scores = PROTOCOLS[name](bench)
        line = wrong_line(PROTOCOLS[name])
        bench.done[name] = Examination(name, head, fit, examined, np.asarray(scores, np.float64), line)
    return bench.done[name]


def in_words(bench: Workbench, name: str) -> str:
    """Return what a protocol does, reports and is worth, in five lines; it is carried out if it was not yet."""
    text = readable(pd.DataFrame([summarise(bench, examine(bench, name))])).iloc[0]
    line = f"\n  wrong line     {text['wrong line']}" if text["wrong line"] else ""
    does = textwrap.fill(f"{name}: {PROTOCOLS[name].__doc__}", 96, subsequent_indent="  ")
    return (
        f"{does}{line}\n  it reports     {text['it reports']}\n"
        f"  honest         {text['honestly worth']}, this head on unseen pictures\n"
        f"  already known  {text['already known']} of the examined pictures"
    )


def both_sides(examination: Examination, n: int = 8) -> np.ndarray:
    """Return uint8 (2 m, 48, 48), m at most `n`: examined pictures that are known, then what they are known from.

    Of the pictures that show the same photograph, those are preferred that are not identical.
    """
    examined, fit = examination.examined, examination.fit
    pairs = []
    for i in np.flatnonzero(examination.known):
        others = fit.images[fit.sources == examined.sources[i]]
        changed = [other for other in others if (other != examined.images[i]).any()]
        pairs.append((examined.images[i], (changed or list(others))[0]))
        if len(pairs) == n:
            break
    return np.stack([image for side in zip(*pairs, strict=True) for image in side]) if pairs else examined.images[:0]


def summarise(bench: Workbench, examination: Examination) -> dict:
    """Return one row of `compare`'s table."""
    scores, n = examination.scores, len(examination.scores)
    if np.isin(scores, (0, 1)).all():
        low, high = wilson_interval(int(scores.sum()), n)
    else:
        # Seven answers about one picture depend on each other, so pictures are drawn anew and not answers.
        low, high = bootstrap_interval(scores, scores, lambda drawn, _: drawn.mean(), bench.seed)
    right = is_right(examination.head, bench.unseen_test)
    honest_low, honest_high = wilson_interval(int(right.sum()), len(right))
    return {
        "protocol": examination.protocol,
        "reported": float(scores.mean()),
        "low": low,
        "high": high,
        "n": n,
        "honest": float(right.mean()),
        "honest low": honest_low,
        "honest high": honest_high,
        "honest n": len(right),
        "known": float(examination.known.mean()),
        "wrong line": examination.line,
    }


def compare(bench: Workbench, progress: bool = True) -> pd.DataFrame:
    """Carry out every protocol and set the reported number beside the honest one of the very same fitted head.

    Args:
        bench: data, head and seed.
        progress: whether to show a progress bar.

    Returns:
        One row a protocol: protocol; reported, low, high (fractions, 95 % interval: Wilson's, as such a report would
        print it, although copies are no independent pictures; of binary accuracy bootstrap) and n, the pictures
        examined; honest, honest low, honest high, honest n: the accuracy of the same
        head on PublicTest without pictures of photographs that Training holds as well; known, the share of examined
        pictures whose photograph the head had learned from; wrong line.
    """
    names = tqdm(PROTOCOLS, "protocols", unit="protocol", disable=not progress, leave=False)
    return pd.DataFrame([summarise(bench, examine(bench, name)) for name in names])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `compare` as text: percent with its interval and n in one cell; index the protocol."""

    def cell(share, low, high, n):
        return [f"{s:.1%} ({a:.1%} to {b:.1%}), n = {m:,}" for s, a, b, m in zip(share, low, high, n, strict=True)]

    return pd.DataFrame(
        {
            "it reports": cell(table["reported"], table["low"], table["high"], table["n"]),
            "honestly worth": cell(table["honest"], table["honest low"], table["honest high"], table["honest n"]),
            "already known": [f"{share:.0%}" for share in table["known"]],
            "wrong line": table["wrong line"].to_numpy(),
        },
        index=pd.Index(table["protocol"]),
    )

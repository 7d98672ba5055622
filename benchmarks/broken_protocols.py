"""`python -m benchmarks.broken_protocols --data archive.zip`: what broken protocols report, and what is true."""

import pandas as pd

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils.experiments import workbench, wrong_protocols

HEAD = """# How to get 97 % and be wrong

Made by `benchmarks/broken_protocols.py`; do not edit. One small head on fixed features (histograms of oriented
gradients, {components} principal components, two dense layers) is examined under protocols that each hold one mistake.
"Honest" is the accuracy of the very same fitted head on the PublicTest pictures whose photograph is not in Training,
neither identical nor as a near copy; "already known" is the share of the examined pictures whose photograph the head
had learned from. In brackets: 95 % interval. Where a mistake makes copies, these are not independent, and the interval
that such a report would print is too narrow besides.

"""


def main() -> None:
    arguments = parser("broken_protocols", __doc__)
    arguments.add_argument("--seed", type=int, default=0)
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    table = wrong_protocols.compare(workbench.Workbench(dataset, arguments.seed))
    text = page(record(arguments, dataset, {"seed": arguments.seed}, watch.seconds, table))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def page(content: dict) -> str:
    """Return the Markdown page of a record."""
    table = wrong_protocols.readable(pd.DataFrame(content["rows"]))
    command = f"python -m benchmarks.broken_protocols --data archive.zip --seed {content['settings']['seed']}"
    head = HEAD.format(components=workbench.COMPONENTS)
    return head + as_table(table, code="wrong line") + "\n" + measured_line(content, command)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.gentle_start --data archive.zip`: strong augmentation at once, or growing over some epochs?

The same small custom CNN is trained both ways, several times, each pair from the same starting weights, with the
pictures in the same order and the same random draws. The settings are those of notebook 4 in the profile `quick`, but
the step size stays what it is. How many epochs was fixed beforehand, and both judge PublicTest as they are at the end.
"""

from benchmarks.two_ways import TwoWays

EXPERIMENT = TwoWays(
    name="gentle_start",
    description=__doc__.splitlines()[0],
    ways=("at once", "growing"),
    head="""# Augmentation at once, or growing?

Made by `benchmarks/gentle_start.py`; do not edit. The custom CNN with {width:.0%} of its filters was trained for
{epochs} epochs on {n_fit:,} pictures of Training with notebook 4's augmentation: at its full size from the first step
on, or growing to it over the first {gentle_epochs} epochs. Both from the same starting weights, with the pictures in
the same order and the same random draws. How many epochs was fixed beforehand. Judged on PublicTest, n = {n_test:,};
the validation part has {n_validation:,} pictures.

""",
    difference="Growing less at once",
    warm_up=lambda way, arguments: arguments.gentle_epochs if way == "growing" else 0,
    options={"gentle_epochs": (5, "over which it grows")},
)

if __name__ == "__main__":
    EXPERIMENT.main()

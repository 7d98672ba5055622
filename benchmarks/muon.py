"""`python -m benchmarks.muon --data archive.zip`: what do steps that are even in every direction change?

The same small custom CNN is trained by Adam and by Muon (`workshop.muon`), several times, with notebook 4's
augmentation growing over some epochs, each pair from the same starting weights, with the pictures in the same order and
the same random draws. How many epochs was fixed beforehand, and both judge PublicTest as they are at the end.
"""

from benchmarks.two_ways import TwoWays

EXPERIMENT = TwoWays(
    name="muon",
    description=__doc__.splitlines()[0],
    ways=("Adam", "Muon"),
    head="""# Adam, or Muon?

Made by `benchmarks/muon.py`; do not edit. The custom CNN with {width:.0%} of its filters was trained for {epochs}
epochs on {n_fit:,} pictures of Training with notebook 4's augmentation, growing over the first {gentle_epochs} epochs,
with the network's usual dropout (a quarter after each block, half after the dense layer): by Adam, or by Muon, whose
steps for convolutions are even in every direction. Both from the same starting weights, with the pictures in the same
order, the same random draws, and a step size of {learning_rate:g}. How many epochs was fixed beforehand. Judged on
PublicTest, n = {n_test:,}; the validation part has {n_validation:,} pictures.

""",
    difference="Muon less Adam",
    warm_up=lambda way, arguments: arguments.gentle_epochs,
    optimizer=str.lower,
    options={"gentle_epochs": (5, "over which the augmentation grows")},
)

if __name__ == "__main__":
    EXPERIMENT.main()

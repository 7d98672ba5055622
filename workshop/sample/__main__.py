"""The command `python -m workshop.sample`: `train` trains the generator of faces, `draw` makes the embedded sample."""

from workshop.command_line import run
from workshop.sample.commands import app

run(app, "workshop.sample")

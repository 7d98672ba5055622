"""The command `python -m workshop.model`: `compact` trains the model that ships, `ensemble` joins several."""

from workshop.command_line import run
from workshop.model.commands import app

run(app, "workshop.model")

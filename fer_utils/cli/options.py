"""Options that several commands have."""

from typing import Annotated

import typer

Only = Annotated[
    list[str] | None, typer.Option(help="Only notebooks that begin so: 03, or A1 of the appendix. Repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Split = Annotated[str, typer.Option(help="Training, PublicTest or PrivateTest.")]

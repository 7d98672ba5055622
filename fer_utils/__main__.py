"""`python -m fer_utils` is `fer`."""

from fer_utils.cli.main import main

main()

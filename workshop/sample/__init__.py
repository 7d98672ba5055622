"""Making the embedded sample: a generator of faces, the rules that weed out its failures, and the archive.

`network`, `flow`, `train`, `draw` and `make` need Keras; `screen` and `archive` work on arrays alone; `commands` holds
the command line. Importing this package loads none of them.
"""

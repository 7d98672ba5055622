"""nbformat, loaded without a checker of internet addresses that takes a second to load and that nothing here asks.

Its schema library would import `rfc3987_syntax`, which compiles a grammar, in each process that reads a notebook.
"""

from fer_utils.quiet import without_module

with without_module("rfc3987_syntax"):
    import nbformat

__all__ = ["nbformat"]

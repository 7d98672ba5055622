"""Measurements side by side: our way against the plain way, in turn, in one run."""

"""How good the generated faces are, and which strength of guidance is best."""

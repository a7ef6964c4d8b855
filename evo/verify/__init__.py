"""Verification: static checks of a candidate's files, and the held-out loss of its trained model, computed by us."""

"""Verification: static checks of candidate files, and the held-out loss of the trained model, computed by our process."""

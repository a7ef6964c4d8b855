"""Prompts, the client of model endpoints, and the parser of their answers."""

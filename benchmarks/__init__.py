"""What the README's figures come from. `make bench` runs them all; each writes one JSON file into `results/`."""

"""Trainer of one device slot: runs one isolated training at a time and scores the trained model."""

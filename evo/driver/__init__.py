"""Driver of a run: the run folder, and the main loop that joins search, proposer, trainers and lineage."""

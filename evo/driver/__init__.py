"""The driver: joins search, proposer, trainers and lineage in one loop, and owns the run folder."""

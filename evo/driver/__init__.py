"""The driver: joins search, proposer, trainers and lineage in one loop, and holds the run's folder."""

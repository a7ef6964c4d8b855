"""The lineage of a run: candidates, trainings, loss curves and model calls as immutable Parquet files."""

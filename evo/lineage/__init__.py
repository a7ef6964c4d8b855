"""The lineage: every candidate, training, loss curve and model call of a run, as plain Parquet files that never change."""

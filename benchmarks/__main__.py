"""All benchmarks, one after the other: a search, its leader on fresh seeds, the reading commands on what it left."""

from benchmarks import demo, fresh_seeds, reading

for benchmark in (demo, fresh_seeds, reading):
    benchmark.main()

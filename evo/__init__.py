"""Evolutionary search over personas and the small-GPT training code they write.

`evo` is a command and a library. The library's nouns are modules: `persona`, `variation`, `selection`, `search`,
`proposer`, `catalogue`, `trainer`, `verify`, `lineage`, `driver`, `cli`. Importing `evo` imports none of them.
"""

__version__ = "0.1.0"
DISTRIBUTION = "evo-search"

"""SQL over lineages: what a refused query says. The views themselves are tested in test_store.py."""

import pytest

from evo.errors import EvoError
from evo.lineage import query


def hint(population, text):
    with pytest.raises(EvoError, match="SQL: ") as refused:
        query.sql(population, text)
    return refused.value.hint


def test_text_in_double_quotes_is_answered_with_single_quotes(tmp_path):
    text = 'SELECT * FROM candidates WHERE mind = "Isaac Newton"'
    assert hint(tmp_path, text) == "write text in single quotes: 'Isaac Newton'"


def test_a_query_of_runs_is_answered_with_the_command_that_lists_them(tmp_path):
    assert "`evo runs --json`" in hint(tmp_path, "SELECT * FROM runs")


@pytest.mark.parametrize("text", ["SELECT nme FROM candidates", 'SELECT nme FROM candidates WHERE "mind" = 1', "SELEC"])
def test_any_other_mistake_is_answered_with_the_schema(tmp_path, text):
    assert hint(tmp_path, text) == "`evo sql --schema` lists tables and columns"

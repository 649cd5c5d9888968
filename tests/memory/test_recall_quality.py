"""How well working memory finds, on the set of the benchmarks: what is measured there must not get worse unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recall_set import DOCUMENTS, QUERIES

pytest.importorskip("wordllama", reason='no wordllama: `pip install "perdure[embeddings]"`')


def test_words_and_meaning_together_find_what_each_finds(tmp_path: Path) -> None:
    from benchmarks.recall import quality

    both = {
        name: value
        for name, (value, _) in quality(f"sqlite:///{tmp_path / 'both.db'}", by="both", every=3).items()
    }

    assert both["recall@5, number"] == both["recall@5, same words"] == 1  # as by words alone
    assert both["MRR, number"] == 1  # by meaning alone it is 0.3
    assert both["recall@5, other words"] > 0.5  # by words alone it is 0


def test_each_question_has_one_answer_that_says_something_else() -> None:
    assert len(set(DOCUMENTS)) == len(DOCUMENTS) == 300
    assert len({query.text for query in QUERIES}) == len(QUERIES) == 160
    assert {query.kind for query in QUERIES} == {"same words", "other words", "number"}

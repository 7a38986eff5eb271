"""What a journal refuses is judged by all the same."""

import logging

import pytest

from tests.collector.centre import Centre


def test_what_is_remembered_of_a_refusing_journal_is_bounded(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    centre.journal._db.execute("PRAGMA query_only=ON")
    for number in range(50):
        centre.send(centre.batch(1, epoch=f"epoch{number:04}"))
    assert len(list(centre.pipeline._unkept.judged_seqs.all())) < 20

"""The rating of speech against the published vectors of its formula."""

import pytest

from contract.e_model import buffer_ms, mos, mouth_to_ear_ms, rating


@pytest.mark.parametrize(
    ("delay_ms", "percent", "r", "score"),
    [
        (20, 0, 92.72, 4.400),
        (100, 0, 90.80, 4.358),
        (150, 0, 89.60, 4.329),
        (150, 1, 85.96, 4.228),
        (250, 1, 75.56, 3.846),
        (300, 3, 62.36, 3.221),
        (400, 0, 59.10, 3.053),
        (100, 5, 75.02, 3.823),
        (150, 12, 58.87, 3.041),
    ],
)
def test_delay_and_loss_make_the_rating_of_the_vectors(delay_ms: float, percent: float, r: float, score: float) -> None:
    found = rating(delay_ms, percent / 100)
    assert found == pytest.approx(r, abs=0.006)
    assert mos(found) == pytest.approx(score, abs=0.0006)


def test_loss_alone_breaks_the_limits_where_the_standard_has_them() -> None:
    assert rating(100, 0.069) > 70 > rating(100, 0.0705)
    assert rating(100, 0.118) > 60 > rating(100, 0.121)


def test_the_score_stays_on_its_scale() -> None:
    assert [mos(r) for r in (-20, 0, 100, 120)] == [1.0, 1.0, 4.5, 4.5]
    assert all(1 <= mos(r / 10) <= 4.5 for r in range(-100, 1100))


def test_the_buffer_follows_the_variation_between_its_bounds() -> None:
    assert [buffer_ms(pdv) for pdv in (3, 60, 900)] == [20, 60, 200]
    assert mouth_to_ear_ms(100, 60) == 50 + 60 + 25

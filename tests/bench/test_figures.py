from bench.figures import Row, plain, spread, table


def test_a_ratio_is_taken_round_by_round() -> None:
    row = Row(what="CPU", unit="ms", ours=(1.0, 4.0, 9.0), peer="other", theirs=(2.0, 4.0, 3.0))
    assert row.ratio == spread([0.5, 1.0, 3.0])


def test_nothing_compares_with_a_peer_that_needed_nothing() -> None:
    assert Row(what="lost", unit="", ours=(0.0,), peer="other", theirs=(0.0,)).ratio is None
    assert Row(what="size", unit="B", ours=(1.0,)).ratio is None


def test_numbers_are_told_with_three_digits() -> None:
    assert [plain(number) for number in (0, 0.0123456, 1.5, 99.96, 33618.2)] == ["0", "0.0123", "1.5", "100", "33,618"]


def test_a_table_gives_the_median_with_its_extremes() -> None:
    row = Row(what="CPU", unit="ms", ours=(3.0, 1.0, 2.0), peer="other", theirs=(4.0, 4.0, 4.0))
    assert [cell.strip() for cell in table([row]).splitlines()[-1].strip("|").split("|")] == [
        "CPU", "ms", "2 (1 to 3)", "other", "4", "0.5 (0.25 to 0.75)",
    ]  # fmt: skip

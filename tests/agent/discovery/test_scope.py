"""Which addresses a search may ask."""

import ipaddress

import pytest

from agent.discovery.scope import ScopeRefused, choose_scope
from agent.discovery.search import parse_arp, parse_ipnet_table
from contract.catalogue import say


def scope_of(*own: str, wanted: tuple[str, ...] = (), wide: bool = False) -> tuple[list[str], int, float]:
    scope = choose_scope("lan", [ipaddress.IPv4Interface(one) for one in own], wanted, is_wide=wide)
    return [str(one) for one in scope.swept], len(scope.addresses), scope.hosts_per_s


@pytest.mark.parametrize(
    ("own", "wanted", "wide", "swept"),
    [
        ("192.168.1.20/24", (), False, (["192.168.1.0/24"], 253, 20.0)),
        ("192.168.1.20/28", (), False, (["192.168.1.16/28"], 13, 20.0)),
        ("10.1.7.20/16", (), False, (["10.1.7.0/24"], 253, 20.0)),
        ("10.1.7.20/22", (), True, (["10.1.4.0/22"], 1021, 10.0)),
        ("192.168.1.20/24", ("10.5.0.0/24",), False, (["10.5.0.0/24"], 254, 20.0)),
        ("192.168.1.20/24", ("10.5.0.9/30", "10.6.0.0/30"), False, (["10.5.0.8/30", "10.6.0.0/30"], 4, 20.0)),
    ],
    ids=["own /24", "own /28", "own /16", "wide", "named", "two named"],
)
def test_no_more_than_a_small_network_is_looked_through_unasked(
    own: str,
    wanted: tuple[str, ...],
    wide: bool,  # noqa: FBT001 - a column of the table
    swept: tuple[list[str], int, float],
) -> None:
    assert scope_of(own, wanted=wanted, wide=wide) == swept


@pytest.mark.parametrize(
    ("own", "wanted", "wide", "code"),
    [
        ("203.0.113.20/24", (), False, "discover.outside"),
        ("100.64.0.20/24", (), False, "discover.outside"),
        ("192.168.1.20/24", ("8.8.8.0/24",), False, "discover.outside"),
        ("192.168.1.20/24", ("10.0.0.0/22",), False, "discover.needs_wide"),
        ("192.168.1.20/24", ("10.0.0.0/8",), True, "discover.too_wide"),
        ("10.1.7.20/16", (), True, "discover.too_wide"),
        ("192.168.1.20/24", ("phòng 101",), False, "discover.no_subnet"),
        ("169.254.3.4/16", (), False, "discover.no_network"),
    ],
)
def test_what_is_not_the_schools_or_too_large_is_refused(
    own: str,
    wanted: tuple[str, ...],
    wide: bool,  # noqa: FBT001 - a column of the table
    code: str,
) -> None:
    with pytest.raises(ScopeRefused) as refused:
        scope_of(own, wanted=wanted, wide=wide)
    assert refused.value.code == code
    for language in ("vi", "en"):
        assert say(code, language, **refused.value.facts)


def test_many_small_networks_together_are_too_large() -> None:
    with pytest.raises(ScopeRefused) as refused:
        scope_of("192.168.1.20/24", wanted=tuple(f"10.0.{number}.0/24" for number in range(17)))
    assert refused.value.code == "discover.too_wide"


def test_a_pc_without_a_network_is_told_so() -> None:
    with pytest.raises(ScopeRefused) as refused:
        scope_of()
    assert say(refused.value.code, "en", **refused.value.facts).startswith("The network card lan has no usable IPv4")


def test_neighbours_of_linux_are_those_with_a_hardware_address() -> None:
    table = [
        "IP address       HW type     Flags       HW address            Mask     Device",
        "10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        lan",
        "10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        lan",
    ]
    assert list(parse_arp(table)) == ["10.0.0.1"]


def test_neighbours_of_windows_are_those_with_a_hardware_address() -> None:
    rows = [
        (bytes([10, 0, 0, 1]), 6, 3), (bytes([10, 0, 0, 2]), 6, 4), (bytes([10, 0, 0, 3]), 0, 3),
        (bytes([10, 0, 0, 4]), 6, 2),
    ]  # fmt: skip
    table = len(rows).to_bytes(4, "little") + b"".join(
        (7).to_bytes(4, "little") + length.to_bytes(4, "little") + bytes(8) + address + kind.to_bytes(4, "little")
        for address, length, kind in rows
    )
    assert list(parse_ipnet_table(table)) == ["10.0.0.1", "10.0.0.2"]

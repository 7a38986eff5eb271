"""The plan: an agent takes it whole or refuses it whole with a SettingsError, as it travels and as people write it."""

from typing import Final

from agent.orders import read_orders
from agent.probes import load_probe, probe_class, probe_names
from contract.settings import SettingsError
from tests.fuzz.text import to_json, to_toml

WORDS: Final = (
    *(b'"tick_s":', b'"probe":', b'"every_s":', b'"name":', b'"target":', b'"address":', b'"profile":', b'"url":'),
    *(b"[[probe]]\n", b'name = "ping"\n', b"tick_s = ", b'"1h"', b"1e400", b"-0.0", b"nan", b"inf", b"true", b"[]"),
    *(b"99999999999999999999", b'"30s"', b"1979-05-27T07:32:00Z", b"'''", b'"\\u0000"', b"{}", b"\r\n", b"[::1]:0"),
)


def inputs() -> list[bytes]:
    probes: list[dict[str, object]] = [{"name": name, **vars(probe_class(name))["example"]} for name in probe_names()]
    plan: dict[str, object] = {"tick_s": "60s", "profile": "zoom-720p", "backlog_bps": 64000, "probe": probes}
    each: list[dict[str, object]] = [{"tick_s": 60, "probe": [probe]} for probe in probes]
    return [to_json(plan), *map(to_json, each), to_toml(plan), *map(to_toml, each)]


def take(data: bytes) -> bool:
    is_json = data[:1] in (b"{", b"[", b'"')
    try:
        orders = read_orders(data, load_probe, source="plan", toml=not is_json)
    except SettingsError as error:
        assert error.problems
        assert error.text("vi")
        return False
    assert len(orders.probes) == len(orders.plan.jobs)
    assert all(probe.longest_s <= job.every_s for probe, job in zip(orders.probes, orders.plan.jobs, strict=True))
    return True

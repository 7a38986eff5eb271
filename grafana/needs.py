"""Looks up what lessons need of a room, so that dashboards draw the limits that the collector judges by."""

from collections.abc import Iterator
from typing import NamedTuple

from grafana import words
from grafana.edition import Edition
from grafana.panel import steps
from grafana.words import Json
from readiness.profile import Limit, Profile, default_profiles


class Bandwidth(NamedTuple):
    """What one kind of lesson needs of the link, both ways, in bits per second."""

    lesson: str
    down_bps: float
    up_bps: float


def bandwidths(edition: Edition) -> Iterator[Bandwidth]:
    """For each profile, from where on picture and sound do not suffer."""
    for profile in default_profiles().values():
        title = profile.title_vi if edition.language == "vi" else profile.title_en
        down, up = (limit_of(profile, f"{way}link_bps").degraded or 0 for way in ("down", "up"))
        yield Bandwidth(title, down, up)


def limit_of(profile: Profile, metric: str) -> Limit:
    """A profile's limit for a metric that it has."""
    return next(limit for limit in profile.limits if limit.metric == metric)


def common_limit(metric: str) -> Limit:
    """A limit that all profiles share."""
    return limit_of(next(iter(default_profiles().values())), metric)


def falling_steps(metric: str) -> Json:
    """Colours for something of which too little is bad, by its limits."""
    limit = common_limit(metric)
    doubtful = () if limit.unfit is None else ((limit.unfit, words.DOUBTFUL),)
    return steps(words.BAD if doubtful else words.DOUBTFUL, *doubtful, (limit.degraded or 0, words.GOOD))


def rising_steps(metric: str) -> Json:
    """Colours for something of which too much is bad, by its limits."""
    limit = common_limit(metric)
    bad = () if limit.unfit is None else ((limit.unfit, words.BAD),)
    return steps(words.GOOD, (limit.degraded or 0, words.DOUBTFUL), *bad)


def voltage_steps() -> Json:
    """The mains' limits as coloured bands: below, between, above."""
    low, high = common_limit("mains_low_v"), common_limit("mains_high_v")
    return steps(
        words.BAD,
        (low.unfit or 0, words.DOUBTFUL),
        (low.degraded or 0, "transparent"),
        (high.degraded or 0, words.DOUBTFUL),
        (high.unfit or 0, words.BAD),
    )

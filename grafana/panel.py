"""Builds panels as Grafana's JSON has them, and lays them out; knows nothing of rooms or links."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from grafana.edition import Edition
from grafana.queries import Ask
from grafana.words import PLAIN, Json

WIDTH: Final = 24
"""Columns of Grafana's grid."""
WRAPPED: Final[Json] = {
    "custom.cellOptions": {"type": "auto", "wrapText": True},
    "custom.wrapText": True,
    "custom.inspect": True,
}
"""For cells of long texts: Grafana 11 and 12 read the first, 13 the second; 10 shows the whole text on a click."""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel before it has a place. `code` finds its title, and with `.help` its description.

    `empty` is the code of what to do when there is nothing to show. `asks` may lack a dialect; a panel that can ask
    nothing in an edition's dialect is left out there, unless it asks nothing at all (text).
    """

    code: str
    kind: str
    width: int
    height: int
    asks: tuple[Ask, ...] = ()
    unit: str = "none"
    empty: str = "empty.readings"
    options: Json = {}
    defaults: Json = {}
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    every: str = ""
    """The shortest $__interval, so that each window holds a point."""

    def asks_in(self, edition: Edition) -> list[Ask]:
        """The questions that can be put in the edition's dialect."""
        return [ask for ask in self.asks if getattr(ask, edition.dialect)]

    def fits(self, edition: Edition) -> bool:
        """Whether there is anything to show in this edition."""
        return not self.asks or bool(self.asks_in(edition))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A heading over the panels that follow; `closed` hides them until somebody opens it."""

    code: str
    panels: tuple[Panel, ...]
    closed: bool = False


def lay_out(rows: Sequence[Row], edition: Edition) -> list[Json]:
    """All panels with ids and places, from left to right and downwards. The first row has no heading."""
    laid: list[Json] = []
    y = 0
    for number, row in enumerate(rows):
        panels = [panel for panel in row.panels if panel.fits(edition)]
        if not panels:
            continue
        heading: Json | None = None
        if number:
            heading = {
                "type": "row",
                "title": edition.say(row.code),
                "collapsed": row.closed,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            }
            laid.append(heading)
            y += 1
        placed, bottom = _placed(panels, y, edition)
        if heading is not None and row.closed:
            heading["panels"] = placed
        else:
            laid += placed
            y = bottom
    for number, panel in enumerate(_flat(laid), start=1):
        panel["id"] = number
    return laid


def _placed(panels: Sequence[Panel], y: int, edition: Edition) -> tuple[list[Json], int]:
    laid: list[Json] = []
    x = lowest = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, lowest = 0, y + lowest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        laid.append(_rendered(panel, edition, place))
        x, lowest = x + panel.width, max(lowest, panel.height)
    return laid, y + lowest


def _flat(panels: Sequence[Json]) -> list[Json]:
    return [one for panel in panels for one in (panel, *panel.get("panels", ()))]


def _rendered(panel: Panel, edition: Edition, place: dict[str, int]) -> Json:
    document: Json = {
        "type": panel.kind,
        "title": edition.say(panel.code),
        "description": edition.say(f"{panel.code}.help"),
        "gridPos": place,
        "options": panel.options,
    }
    if not panel.asks:
        return document
    document["datasource"] = edition.source
    document["targets"] = [
        target(ask, edition, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number]) for number, ask in enumerate(panel.asks_in(edition))
    ]
    document["fieldConfig"] = {
        "defaults": {
            "unit": panel.unit,
            "noValue": edition.say(panel.empty),
            "color": {"mode": "palette-classic"},
            "thresholds": steps(PLAIN),
            **panel.defaults,
        },
        "overrides": list(panel.overrides),
    }
    if panel.transformations:
        document["transformations"] = list(panel.transformations)
    if panel.every:
        document["interval"] = panel.every
    return document


def target(ask: Ask, edition: Edition, letter: str) -> Json:
    """A query as Grafana stores it."""
    if edition.dialect == "promql":
        return {
            "refId": letter,
            "datasource": edition.source,
            "editorMode": "code",
            "expr": ask.promql,
            "legendFormat": ask.legend,
            "format": "table" if ask.shape == "table" else "time_series",
            "instant": ask.shape != "series",
            "range": ask.shape == "series",
        }
    return {
        "refId": letter,
        "datasource": edition.source,
        "rawQuery": True,
        "query": ask.influxql,
        "alias": ask.legend.replace("{{", "$tag_").replace("}}", ""),
        "resultFormat": "table" if ask.shape == "table" else "time_series",
    }


def steps(base: str, *further: tuple[float, str]) -> Json:
    """Thresholds: the colour below the first step, and each step's value and colour."""
    first: Json = {"color": base, "value": None}
    return {"mode": "absolute", "steps": [first, *({"color": colour, "value": value} for value, colour in further)]}


def override(name: str, **properties: Any) -> Json:  # noqa: ANN401 - whatever a field's property holds
    """What one field of a table or one series has for itself; `custom__x` is Grafana's `custom.x`."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def link(title: str, url: str) -> list[Json]:
    """A link on each value; `url` may name variables."""
    return [{"title": title, "url": url, "targetBlank": False}]


# Kinds of panels


def stat(code: str, *asks: Ask, width: int = 4, height: int = 4, **rest: Any) -> Panel:  # noqa: ANN401 - fields of Panel
    """Big numbers on a coloured ground."""
    options = {
        "colorMode": "background_solid",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    defaults = {"color": {"mode": "thresholds"}, **rest.pop("defaults", {})}
    return Panel(
        code=code, kind="stat", width=width, height=height, asks=asks, options=options, defaults=defaults, **rest
    )


def lines(code: str, *asks: Ask, width: int = 12, height: int = 9, custom: Json | None = None, **rest: Any) -> Panel:  # noqa: ANN401 - fields of Panel
    """Lines over time, with a table of last and greatest values below."""
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    drawn = {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 8,
        "pointSize": 4,
        "showPoints": "auto",
        # A gap of more than an hour is a gap: silence must not look like a steady line.
        "spanNulls": 3_600_000,
        **(custom or {}),
    }
    defaults = {"custom": drawn, **rest.pop("defaults", {})}
    rest.setdefault("every", "2m")
    return Panel(
        code=code, kind="timeseries", width=width, height=height, asks=asks, options=options, defaults=defaults, **rest
    )


def timeline(code: str, *asks: Ask, width: int = 24, height: int = 8, words: list[Json], **rest: Any) -> Panel:  # noqa: ANN401 - fields of Panel
    """States over time, each with its word."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.85,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"lineWidth": 0, "fillOpacity": 90}
    defaults = {"custom": custom, "mappings": words, "color": {"mode": "thresholds"}, **rest.pop("defaults", {})}
    rest.setdefault("every", "2m")
    return Panel(
        code=code,
        kind="state-timeline",
        width=width,
        height=height,
        asks=asks,
        options=options,
        defaults=defaults,
        **rest,
    )


def table(
    code: str,
    *asks: Ask,
    width: int = 24,
    height: int = 10,
    sort: str = "",
    least_first: bool = False,
    **rest: Any,  # noqa: ANN401 - fields of Panel
) -> Panel:
    """A table; `sort` names the column by which it is sorted, the greatest first unless `least_first`."""
    options = {
        "showHeader": True,
        "frameIndex": 0,
        "cellHeight": "sm",
        "sortBy": [{"displayName": sort, "desc": not least_first}] if sort else [],
    }
    custom = {"align": "auto", "inspect": False, "cellOptions": {"type": "auto"}}
    defaults = {"custom": custom, "color": {"mode": "thresholds"}, **rest.pop("defaults", {})}
    return Panel(
        code=code, kind="table", width=width, height=height, asks=asks, options=options, defaults=defaults, **rest
    )


def bars(code: str, *asks: Ask, width: int = 8, height: int = 9, **rest: Any) -> Panel:  # noqa: ANN401 - fields of Panel
    """A horizontal bar for each series."""
    options = {
        "displayMode": "basic",
        "valueMode": "color",
        "namePlacement": "auto",
        "sizing": "auto",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "maxVizHeight": 300,
        "orientation": "horizontal",
        "showUnfilled": True,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    defaults = {"color": {"mode": "thresholds"}, "min": 0, **rest.pop("defaults", {})}
    return Panel(
        code=code, kind="bargauge", width=width, height=height, asks=asks, options=options, defaults=defaults, **rest
    )


def text(code: str, content: str, *, width: int = 12, height: int = 6) -> Panel:
    """A few sentences, in Markdown."""
    return Panel(
        code=code,
        kind="text",
        width=width,
        height=height,
        options={
            "mode": "markdown",
            "content": content,
            "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False},
        },
    )

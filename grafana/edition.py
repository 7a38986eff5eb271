"""One edition of the dashboards: a language to read and a dialect to ask in."""

from typing import Final, Literal, NamedTuple, get_args

from contract.catalogue import LANGUAGES, Language
from grafana import texts

Dialect = Literal["promql", "influxql"]
DIALECTS: Final = get_args(Dialect)

SOURCE_TYPES: Final[dict[Dialect, str]] = {"promql": "prometheus", "influxql": "influxdb"}
SOURCE_UIDS: Final[dict[Dialect, str]] = {"promql": "sansang-victoriametrics", "influxql": "sansang-influxdb"}
"""Fixed, so that dashboards, alert rules and data sources find each other without a word in between."""


class Edition(NamedTuple):
    """What one set of dashboards is made for."""

    language: Language
    dialect: Dialect

    def say(self, code: str, **facts: object) -> str:
        """A text for a reader of this edition."""
        return texts.say(code, self.language, **facts)

    @property
    def source(self) -> dict[str, str]:
        """The data source, as panels and variables refer to it."""
        return {"type": SOURCE_TYPES[self.dialect], "uid": SOURCE_UIDS[self.dialect]}

    def uid(self, board: str) -> str:
        """The fixed uid of a dashboard: Grafana takes at most 40 characters."""
        return f"sansang-{self.language}-{self.dialect}-{board}"


EDITIONS: Final = tuple(Edition(language, dialect) for language in LANGUAGES for dialect in DIALECTS)

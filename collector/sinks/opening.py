"""Opens the sink that the settings name."""

from pathlib import Path
from typing import Final

from collector.settings import StoreSettings
from collector.sinks.sink import Sink
from collector.sinks.sqlite import SqliteSink

SERIES_FILE: Final = "series.db"


def open_sink(store: StoreSettings, folder: Path) -> Sink:
    """The configured sink; nothing is connected or made yet. Raises OSError when the token cannot be read."""
    if store.kind == "sqlite":
        return SqliteSink(folder / SERIES_FILE, raw_days=store.raw_days)
    from collector.sinks.influx import InfluxSink  # noqa: PLC0415 - 39 MiB that only this kind of store pays

    token = store.token_file.read_text(encoding="utf-8").strip() if store.token_file is not None else ""
    return InfluxSink(url=store.url, org=store.org, bucket=store.bucket, token=token)

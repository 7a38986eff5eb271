import subprocess
import sys
from pathlib import Path

from collector.settings import StoreSettings
from collector.sinks.opening import open_sink


def test_the_settings_choose_the_sink(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken\n", encoding="utf-8")
    token.chmod(0o600)
    for store, name in (
        (StoreSettings(), "sqlite"),
        (StoreSettings(kind="influx", url="http://127.0.0.1:8086", token_file=token), "influx"),
    ):
        sink = open_sink(store, tmp_path)
        assert sink.name == name
        sink.close()


def test_the_client_library_is_loaded_only_where_it_is_used() -> None:
    code = "import sys, collector.sinks.opening, collector.sinks.feeder; print('influxdb_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

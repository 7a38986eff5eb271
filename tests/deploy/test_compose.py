"""The files of deploy/compose fit each other and the programs that read them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # comes with amqtt; no types are wanted for a few tests

import deploy
from collector.settings import load_settings
from tests.grafana.test_provisioning import VARIABLES

COMPOSE: Final = Path(deploy.__file__).parent / "compose"
ROOT: Final = COMPOSE.parent.parent


def document() -> Any:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))


def test_every_file_that_is_mounted_is_there() -> None:
    mounts = [volume for service in document()["services"].values() for volume in service.get("volumes", ())]
    sources = [mount.split(":")[0] for mount in mounts]
    assert any(source.startswith("..") for source in sources)
    for source in sources:
        if source.startswith("."):
            assert (COMPOSE / source).exists(), source
        else:
            assert source in document()["volumes"]


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in document()["services"].values()]
    assert images
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []
    readme = (COMPOSE / "README.md").read_text(encoding="utf-8")
    for image in images:
        assert image.rpartition(":")[2].removeprefix("v") in readme or image.startswith("sansang-")


def test_the_collector_takes_its_settings_and_finds_the_other_services(tmp_path: Path) -> None:
    equip = [part for part in document()["services"]["equip"]["command"] if not part.startswith("--name=$")]
    command = [sys.executable, "-m", "collector", *equip[:-1], str(tmp_path)]
    environment = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
    text = (COMPOSE / "collector.toml").read_text(encoding="utf-8")
    assert text.count("/etc/mosquitto/sansang/") == 3
    file = tmp_path / "collector.toml"
    file.write_text(text.replace("/etc/mosquitto/sansang", str(tmp_path)), encoding="utf-8")
    settings = load_settings(file)
    services = document()["services"]
    assert {settings.broker.host, settings.mail.host, "victoria-metrics"} <= services.keys()
    assert settings.store.url == "http://victoria-metrics:8428"
    pages = f"127.0.0.1:{settings.web.port}:{settings.web.port}"
    packets = f"{settings.reflector.port}:{settings.reflector.port}/udp"
    assert [pages, packets] == services["collector"]["ports"]
    assert settings.reflector.enabled
    assert [f"{settings.broker.port}:{settings.broker.port}"] == services["mosquitto"]["ports"]
    (job,) = yaml.safe_load((COMPOSE / "scrape.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"collector:{settings.web.port}"]


def test_grafana_gets_every_variable_that_its_provisioning_reads() -> None:
    assert document()["services"]["grafana"]["environment"].keys() >= VARIABLES["promql"]

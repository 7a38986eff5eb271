"""The settings of both programs, and the files of plans, profiles and secrets beside them: read, or a SettingsError."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import agent.settings
import collector.plans
import collector.settings
import deploy
from contract.secret import read_secrets
from contract.settings import SettingsError
from readiness.profile import default_profiles
from tests.fuzz.text import to_toml

WORDS: Final = (
    *(b"[broker]\n", b"[store]\n", b"[mail]\n", b"[alerts]\n", b"[identity]\n", b"[spool]\n", b"[web]\n", b"host = "),
    *(b"port = ", b"tls = true\n", b'"1GB"', b'"45d"', b"9" * 400, b"[" * 200, b"99999999999999999999", b"nan", b"inf"),
    *(b'"\\u0000"', b"'''", b'"""', b"1979-05-27T07:32:00Z", b"00:00", b"0x7f", b"\xef\xbb\xbf", b"-----BEGIN"),
)
AGENT: Final[dict[str, object]] = {
    "agent": "dongvan-01",
    "language": "vi",
    "data_dir": "data",
    "broker": {"host": "127.0.0.1", "port": 1883, "tls": False, "token": "secret"},
    "spool": {"max_bytes": "64MB", "max_age_s": "45d"},
    "identity": {"ca": "-----BEGIN CERTIFICATE-----", "certificate": "", "key": ""},
}
PLAN: Final[dict[str, object]] = {
    "tick_s": "60s",
    "profile": "zoom-720p",
    "probe": [
        {"name": "ping", "target": "gateway", "every_s": "2m", "address": "192.168.1.1"},
        {"name": "device", "target": "codec", "address": "192.168.1.2", "password": {"secret": "codec"}},
    ],
}


FOUND: Final = (
    b"agent = " + b"9" * 5000,
    b"aagent = " + b"[" * 5000,
    b'a[spool]\nmax_bytes = "' + b"9" * 400 + b'"',
    b'c[broker]\nkey = "' + b"/x" * 3000 + b'"',
    b'cplans = "' + b"/x" * 3000 + b'"',
)


def inputs() -> list[bytes]:
    """The first letter says which program reads the rest."""
    compose = (Path(deploy.__file__).parent / "compose" / "collector.toml").read_bytes()
    good = [
        b"a" + to_toml(AGENT),
        b"c" + compose,
        b"c[alerts]\nhold_off_s = 2\n",
        b"p" + to_toml(PLAN),
        b's"codec" = "x"\n',
    ]
    return [*good, *FOUND]


def take(data: bytes) -> bool:
    path = _folder() / "settings.toml"
    path.write_bytes(data[1:])
    path.chmod(0o600)
    try:
        _READERS.get(data[:1], agent.settings.load_settings)(path)
    except SettingsError as error:
        assert error.problems
        assert error.text("vi")
        return False
    return True


_PROFILES: Final[tuple[str, ...]] = tuple(default_profiles())
_READERS: Final[dict[bytes, Callable[[Path], object]]] = {
    b"a": agent.settings.load_settings,
    b"c": collector.settings.load_settings,
    b"p": lambda path: collector.plans.read_plan_file(path, _PROFILES),
    b"s": read_secrets,
}
_folders: Final[list[Path]] = []


def _folder() -> Path:
    """One folder for all inputs of a process."""
    if not _folders:
        _folders.append(Path(tempfile.mkdtemp(prefix="sansang-")))
        atexit.register(shutil.rmtree, _folders[0], ignore_errors=True)
    return _folders[0]

"""Wrong settings: every problem of a file at once, each in a sentence that says where and what to write instead.

The sentences are user interface: their texts are compared.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.settings
import collector.settings
import dev
from agent.orders import read_orders
from agent.probes import load_probe, probe_names
from agent.settings import AgentSettings
from collector.authority import Authority
from collector.plans import load_plans
from collector.settings import CollectorSettings
from contract.names import ROLES
from contract.settings import Problem, SettingsError, build, load_toml
from deploy.demo.plans import ROOM_PLAN, this_pc_plan
from readiness.metrics import METRICS
from readiness.profile import default_profiles, read_profiles

METRIC_NAMES = ", ".join(METRICS)
PROFILE_NAMES = ", ".join(default_profiles())
PROBE_NAMES = ", ".join(probe_names())
TIME = 'a duration such as 30, "30s", "5m", "2h" or "45d"'
ADDRESS = 'a mail address such as sansang@school.edu.vn or "Sẵn Sàng <sansang@school.edu.vn>"'
LOOPBACK = '[broker]\nhost = "127.0.0.1"\nport = 1883\ntls = false\n'
PING = '[[probe]]\nname = "ping"\ntarget = "gateway"\naddress = "192.168.1.1"\n'
PROFILE = (
    '[profile.lesson]\ntitle_vi = "Buổi học"\ntitle_en = "Lesson"\nsignals = ["ping lesson"]\n'
    '[profile.lesson.limits]\nrtt_ms = { degraded = 300, unfit = 500, source = "own" }\n'
)


def refused(load: Callable[[], object]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load()
    return caught.value


def sentences(error: SettingsError, path: Path, language: str = "en") -> list[str]:
    """Each problem without the file's name before it; the test's own folder is `…`."""
    text = error.text("vi" if language == "vi" else "en")
    return [line.removeprefix(f"{path}: ").replace(str(path.parent), "…") for line in text.splitlines()]


def write(folder: Path, text: str | bytes, name: str = "settings.toml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# The agent's small file.

AGENT = f'agent = "dongvan-01"\n{LOOPBACK}'
KEPT_AT = "1048576 to 8589934592"

BAD_AGENTS = {
    "no toml": (b"agent = dongvan-01", ["not valid TOML: Invalid value (at line 1, column 9)"]),
    "no utf-8": (
        'agent = "đồng-văn"'.encode("utf-16"),
        ["cannot read the file: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"],
    ),
    "latin-1": (
        b'agent = "\xe9cole"',
        ["cannot read the file: 'utf-8' codec can't decode byte 0xe9 in position 9: invalid continuation byte"],
    ),
    "nothing": (
        "",
        [
            "agent: missing; expected a text: 3 to 32 characters of a-z, 0-9 and -, the first not -",
            "broker: missing; expected a table",
        ],
    ),
    "unknown key with a near one": (f"agnet = 1\n{AGENT}", ["agnet: no such key; did you mean agent?"]),
    "unknown key without": (
        f"{AGENT}colour = 1\n",
        ["broker.colour: no such key; the keys here are: host, port, tls, token"],
    ),
    "an id with capitals": (
        AGENT.replace("dongvan-01", "DongVan"),
        ["agent: expected a text: 3 to 32 characters of a-z, 0-9 and -, the first not -, got 'DongVan'"],
    ),
    "an id with a line end": (
        AGENT.replace("dongvan-01", "dongvan-01\\n"),
        ["agent: expected a text: 3 to 32 characters of a-z, 0-9 and -, the first not -, got 'dongvan-01\\n'"],
    ),
    "no host": (AGENT.replace('host = "127.0.0.1"\n', ""), ["broker.host: missing; expected a text"]),
    "a port beyond the last": (
        AGENT.replace("1883", "65536"),
        ["broker.port: expected a whole number from 1 to 65535, got 65536"],
    ),
    "a port in words": (
        AGENT.replace("1883", '"mqtt"'),
        ["broker.port: expected a whole number from 1 to 65535, got 'mqtt'"],
    ),
    "yes for true": (AGENT.replace("false", '"no"'), ["broker.tls: expected true or false, got 'no'"]),
    "a list for a table": ('agent = "dongvan-01"\nbroker = []', ["broker: expected a table, got []"]),
    "open beyond the machine": (
        AGENT.replace("127.0.0.1", "10.0.0.5"),
        [("broker.host: the address 10.0.0.5 is open beyond this machine; TLS and credentials are then required"
         " (tls = true)")],
    ),
    "tls without a ca": (AGENT.replace("false", "true"), ["broker.tls: tls = true needs identity.ca"]),
    "a certificate without its key": (
        f'{AGENT}[identity]\nca = ""\ncertificate = "x"\n',
        ["identity.certificate: certificate needs key"],
    ),
    "a key without its certificate": (
        f'{AGENT}[identity]\nca = ""\nkey = "x"\n',
        ["identity.key: key needs certificate"],
    ),
    "certificates that are none": (
        f'{AGENT}[identity]\nca = "see attachment"\n',
        ["identity: the certificates or the key cannot be used: no start line: cadata does not contain a certificate"],
    ),
    "a language that we do not speak": (
        f'language = "fr"\n{AGENT}',
        ["language: expected one of vi, en, got 'fr'"],
    ),
    "a plan that is not there": (f'plan = "plan.toml"\n{AGENT}', ["plan: there is no file …/plan.toml"]),
    "a plan that no disk can hold": (
        f'plan = "{"x" * 5000}"\n{AGENT}',
        [f"plan: cannot reach …/{'x' * 5000}: File name too long"],
    ),
    "a size of four hundred digits": (
        f'{AGENT}[spool]\nmax_bytes = "{"9" * 400}"\n',
        [f'spool.max_bytes: expected a size such as 65536, "64MB" or "1GB" from {KEPT_AT}, got \'{"9" * 56}...'],
    ),
    "a size in no unit": (
        f'{AGENT}[spool]\nmax_bytes = "64 megs"\n',
        [f'spool.max_bytes: expected a size such as 65536, "64MB" or "1GB" from {KEPT_AT}, got \'64 megs\''],
    ),
    "a size too small": (
        f'{AGENT}[spool]\nmax_bytes = "10KB"\n',
        [f'spool.max_bytes: expected a size such as 65536, "64MB" or "1GB" from {KEPT_AT}, got \'10KB\''],
    ),
    "a size without end": (
        f"{AGENT}[spool]\nmax_bytes = inf\n",
        [f'spool.max_bytes: expected a size such as 65536, "64MB" or "1GB" from {KEPT_AT}, got inf'],
    ),
    "a duration in no unit": (
        f'{AGENT}[spool]\nmax_age_s = "two weeks"\n',
        [f"spool.max_age_s: expected {TIME} from 3600 to 34560000, got 'two weeks'"],
    ),
    "a duration that is no number": (
        f"{AGENT}[spool]\nmax_age_s = nan\n",
        [f"spool.max_age_s: expected {TIME} from 3600 to 34560000, got nan"],
    ),
    "four problems at once": (
        f'langauge = "vi"\nagent = "x"\n{LOOPBACK.replace("1883", "0")}[spool]\nmax_age_s = "1s"\n',
        [
            "agent: expected a text: 3 to 32 characters of a-z, 0-9 and -, the first not -, got 'x'",
            "broker.port: expected a whole number from 1 to 65535, got 0",
            f"spool.max_age_s: expected {TIME} from 3600 to 34560000, got '1s'",
            "langauge: no such key; did you mean language?",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_AGENTS.values(), ids=BAD_AGENTS)
def test_a_bad_agents_file_is_told_with_all_its_problems(
    text: str | bytes, expected: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    found = sentences(refused(lambda: agent.settings.load_settings(path)), path)
    assert [re.sub(r" \(_ssl\.c:\d+\)$", "", one) for one in found] == expected


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    assert str(refused(lambda: agent.settings.load_settings(path))) == (
        f"{path}: cannot read the file: No such file or directory"
    )


def test_a_token_that_every_user_can_read_is_no_secret(tmp_path: Path) -> None:
    path = write(tmp_path, f'{AGENT}token = "secret"\n')
    path.chmod(0o644)
    assert sentences(refused(lambda: agent.settings.load_settings(path)), path) == [
        "every user of this machine can read the secret file …/settings.toml; run: chmod 600 …/settings.toml"
    ]
    path.chmod(0o600)
    assert agent.settings.load_settings(path).broker.token == "secret"  # noqa: S105 - of no broker


def test_a_file_that_notepad_saved_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + AGENT.replace("\n", "\r\n").encode())
    assert agent.settings.load_settings(path).agent == "dongvan-01"


def test_what_an_agents_file_leaves_out_has_its_usual_value(tmp_path: Path) -> None:
    settings = agent.settings.load_settings(write(tmp_path, AGENT))
    assert settings.language == "vi"
    assert (settings.spool.max_bytes, settings.spool.max_age_s) == (64 << 20, 45 * 86400.0)


def test_paths_are_taken_from_the_files_own_folder(tmp_path: Path) -> None:
    write(tmp_path, PING, "plan.toml")
    settings = agent.settings.load_settings(write(tmp_path, f'data_dir = "data"\nplan = "plan.toml"\n{AGENT}'))
    assert (settings.folder, settings.plan) == (tmp_path / "data", tmp_path / "plan.toml")


def test_real_certificates_are_taken(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", 1.8e9)
    issued = authority.issue_agent("dongvan-01")
    text = f'{AGENT}[identity]\nca = """{authority.certificate}"""\ncertificate = """{issued.certificate}"""\n'
    path = write(tmp_path, f'{text}key = """{issued.key}"""\n')
    path.chmod(0o600)
    assert agent.settings.load_settings(path).identity is not None


# The collector's file.

BAD_COLLECTORS = {
    "open beyond the machine": (
        '[broker]\nhost = "0.0.0.0"\n',
        [("broker.host: the address 0.0.0.0 is open beyond this machine; TLS and credentials are then required"
         " (tls = true)")],
    ),
    "a mode that is none": (
        '[broker]\nmode = "mosquitto"\n',
        ["broker.mode: expected one of embedded, mqtt, got 'mosquitto'"],
    ),
    "another broker over tls without a ca": (
        '[broker]\nmode = "mqtt"\nhost = "10.0.0.5"\ntls = true\n',
        ["broker.tls: tls = true needs ca"],
    ),
    "a certificate without its key": (
        '[broker]\ncertificate = "settings.toml"\n',
        ["broker.certificate: certificate needs key"],
    ),
    "a key without its certificate": (
        '[broker]\nkey = "secret"\n',
        ["broker.key: key needs certificate"],
    ),
    "a secret that is not there": (
        '[broker]\npassword_file = "password"\n',
        ["broker.password_file: there is no file …/password"],
    ),
    "a secret that is empty": (
        '[broker]\npassword_file = "empty"\n',
        ["broker.password_file: the file …/empty is empty"],
    ),
    "a secret that everybody can read": (
        '[store]\ntoken_file = "open"\n',
        ["store.token_file: every user of this machine can read the secret file …/open; run: chmod 600 …/open"],
    ),
    "a secret that is a folder": (
        '[store]\ntoken_file = "."\n',
        ["store.token_file: there is no file …"],
    ),
    "a store without an address": (
        '[store]\nkind = "influx"\n',
        ['store.url: kind = "influx" needs url = "http://…"'],
    ),
    "a store of another kind": (
        '[store]\nkind = "prometheus"\n',
        ["store.kind: expected one of sqlite, influx, got 'prometheus'"],
    ),
    "no days": (
        "[store]\nraw_days = 0\n",
        ["store.raw_days: expected a whole number from 1 to 3660, got 0"],
    ),
    "half a day": (
        "[store]\nraw_days = 0.5\n",
        ["store.raw_days: expected a whole number from 1 to 3660, got 0.5"],
    ),
    "mail to nowhere": (
        '[mail]\nmode = "folder"\n',
        ['mail.folder: mode = "folder" needs folder = "…"'],
    ),
    "a mail port out of range": (
        "[mail]\nport = 70000\n",
        ["mail.port: expected a whole number from 1 to 65535, got 70000"],
    ),
    "an operator who is nobody": (
        ('[mail]\nbounces_to = "somebody"\n'
         '[operators]\nmail = ["Kiên <kien@sogd.example.vn>", "kien", "a@b.vn, c@d.vn"]\ndaily_at = "6:30"\n'),
        [
            f"mail.bounces_to: expected {ADDRESS}, got 'somebody'",
            f"operators.mail[1]: expected {ADDRESS}, got 'kien'",
            f"operators.mail[2]: expected {ADDRESS}, got 'a@b.vn, c@d.vn'",
            "operators.daily_at: expected a time of day such as \"06:30\", got '6:30'",
        ],
    ),
    "a negative wait": (
        "[alerts]\nhold_off_s = -1\n",
        [f"alerts.hold_off_s: expected {TIME} from 0 to 86400, got -1"],
    ),
    "a wait without end": (
        f"[alerts]\nreminder_s = {'9' * 400}\n",
        [f"alerts.reminder_s: expected {TIME} from 60 to 2592000, got {'9' * 57}..."],
    ),
    "a near key in a table": (
        '[alerts]\nholdoff_s = "5m"\n',
        ["alerts.holdoff_s: no such key; did you mean hold_off_s?"],
    ),
    "no such folder of plans": ('plans = "plans"\n', ["plans: there is no folder …/plans"]),
    "no such profiles": ('profiles = "profiles.toml"\n', ["profiles: there is no file …/profiles.toml"]),
    "problems in three tables": (
        '[web]\nport = -1\n[mail]\nmode = "post"\n[alerts]\ngrace_s = "soon"\n',
        [
            "web.port: expected a whole number from 0 to 65535, got -1",
            "mail.mode: expected one of none, smtp, folder, got 'post'",
            f"alerts.grace_s: expected {TIME} from 0 to 86400, got 'soon'",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_COLLECTORS.values(), ids=BAD_COLLECTORS)
def test_a_bad_collectors_file_is_told_with_all_its_problems(text: str, expected: list[str], tmp_path: Path) -> None:
    for name, content, mode in (("secret", "x", 0o600), ("empty", "", 0o600), ("open", "x", 0o644)):
        write(tmp_path, content, name).chmod(mode)
    path = write(tmp_path, text)
    assert sentences(refused(lambda: collector.settings.load_settings(path)), path) == expected


def test_a_collector_without_a_file_has_all_usual_values() -> None:
    assert collector.settings.load_settings(None) == CollectorSettings()


# Plans: the collector looks at what it can know, the agent at all.

HOURS = 'hours such as "07:00-11:30", "mon-fri 07:00-11:30" or "sat 22:00-05:00"'
BAD_PLANS = {
    "an unknown probe": (
        '[[probe]]\nname = "pong"\ntarget = "gateway"\n',
        [f"probe[0].name: there is no probe pong; the probes are: {PROBE_NAMES}"],
    ),
    "no name": (
        '[[probe]]\ntarget = "gateway"\n',
        ["probe[0].name: missing; expected a text: the name of a probe"],
    ),
    "a name that could be a path": (
        '[[probe]]\nname = "../ping"\n',
        ["probe[0].name: expected a text: the name of a probe, got '../ping'"],
    ),
    "measured twice": (
        PING + PING,
        ["probe[1].target: target gateway is measured by ping already; a probe measures a target once"],
    ),
    "between two ticks": (
        f'tick_s = "1m"\n{PING}every_s = "90s"\n',
        ["probe[0].every_s: 90 s is not a multiple of tick_s (60 s)"],
    ),
    "more often than the tick": (
        f'tick_s = "1m"\n{PING}every_s = "30s"\n',
        ["probe[0].every_s: 30 s is not a multiple of tick_s (60 s)"],
    ),
    "slower than its turn": (
        f"tick_s = 5\n{PING}count = 100\n",
        ["probe[0].every_s: one measurement may take 24 s, longer than every_s (5 s)"],
    ),
    "a probe's own setting of the wrong type": (
        f'{PING}count = "ten"\n',
        ["probe[0].count: expected a whole number from 1 to 1000, got 'ten'"],
    ),
    "a probe's own setting out of range": (
        f'{PING}timeout_s = "1m"\n',
        [f"probe[0].timeout_s: expected {TIME} from 0.05 to 30, got '1m'"],
    ),
    "a probe's setting that is none": (
        f"{PING}adress = 1\n",
        ["probe[0].adress: no such key; did you mean address?"],
    ),
    "a target with a space": (
        PING.replace("gateway", "the gateway"),
        [("probe[0].target: expected a text: 1 to 64 characters of a-z, 0-9, _ . : -, beginning with a letter or digit,"
         " got 'the gateway'")],
    ),
    "a target with a line end": (
        PING.replace("gateway", "gateway\\n"),
        [("probe[0].target: expected a text: 1 to 64 characters of a-z, 0-9, _ . : -, beginning with a letter or digit,"
         " got 'gateway\\n'")],
    ),
    "a tick of no time": (f"tick_s = 0\n{PING}", [f"tick_s: expected {TIME} from 1 to 86400, got 0"]),
    "an endless tick": (f"tick_s = inf\n{PING}", [f"tick_s: expected {TIME} from 1 to 86400, got inf"]),
    "a pace in words": (
        f'backlog_bps = "fast"\n{PING}',
        ["backlog_bps: expected a number from 1000 to 1000000000, got 'fast'"],
    ),
    "quiet hours and a zone that are none": (
        f'quiet_hours = ["07:00-11:30", "7-11", "mon-xyz 07:00-08:00"]\ntime_zone = "Hanoi"\n{PING}',
        [
            "time_zone: expected the name of a time zone such as \"Asia/Ho_Chi_Minh\", got 'Hanoi'",
            f"quiet_hours[1]: expected {HOURS}, got '7-11'",
            f"quiet_hours[2]: expected {HOURS}, got 'mon-xyz 07:00-08:00'",
        ],
    ),
    "quiet for ever": (
        f'quiet_hours = ["mon-fri 00:00-24:00", "sat-sun 06:00-18:00", "fri-sun 18:00-06:00"]\n{PING}',
        ["quiet_hours: takes the whole week: what a PC kept while it was offline would never be sent"],
    ),
    "probe written once": ('[probe]\nname = "ping"\n', ["probe: expected a list, got {'name': 'ping'}"]),
    "probes written otherwise": (PING.replace("probe", "probes"), ["probes: no such key; did you mean probe?"]),
    "no toml": (
        "[[probe]\n",
        ["not valid TOML: Expected ']]' at the end of an array declaration (at line 1, column 8)"],
    ),
    "three probes, three problems": (
        f'{PING}every_s = "1m 30s"\n{PING}[[probe]]\nname = "tcp"\ntarget = "codec"\naddress = "10.0.0.2"\n',
        [
            f"probe[0].every_s: expected {TIME} from 1 to 86400, got '1m 30s'",
            "probe[2].port: missing; expected a whole number from 1 to 65535",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_bad_plan_is_refused_by_the_agent_with_all_its_problems(
    text: str, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "plan.toml"
    error = refused(lambda: read_orders(text.encode(), load_probe, source=str(path), toml=True))
    assert sentences(error, path) == expected


def test_the_collector_finds_what_it_can_know_in_all_plans_at_once(tmp_path: Path) -> None:
    write(tmp_path, f'profile = "zoom-4k"\ntick_s = 60\n{PING}every_s = 90\n', "default.toml")
    write(tmp_path, PING + PING, "dong-van-01.toml")
    write(tmp_path, b"\xff", "meo-vac-01.toml")
    write(tmp_path, PING, "good.toml")
    error = refused(lambda: load_plans(tmp_path, default_profiles()))
    assert str(error).replace(str(tmp_path), "…") == (
        "…/default.toml: probe[0].every_s: 90 s is not a multiple of tick_s (60 s)\n"
        f"…/default.toml: profile: there is no profile 'zoom-4k'; the profiles are: {PROFILE_NAMES}\n"
        "…/dong-van-01.toml: probe[1].target: target gateway is measured by ping already; a probe measures a target"
        " once\n"
        "…/meo-vac-01.toml: cannot read the file: 'utf-8' codec can't decode byte 0xff in position 0: invalid start"
        " byte"
    )


def test_one_bad_plan_is_told_by_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path, 'profile = "zoom"\n', "default.toml")
    assert sentences(refused(lambda: load_plans(tmp_path, ["zoom-720p"])), path) == [
        "profile: there is no profile 'zoom'; the profiles are: zoom-720p"
    ]


# Profiles.

BAD_PROFILES = {
    "no profile at all": ("", ["profile: missing; expected a table"]),
    "an unknown metric": (
        PROFILE.replace("rtt_ms", "ping_ms"),
        [f"profile.lesson.limits.ping_ms: there is no such metric; the metrics are: {METRIC_NAMES}"],
    ),
    "unfit before degraded": (
        PROFILE.replace("500", "200"),
        [("profile.lesson.limits.rtt_ms: an impossible limit: unfit (200) must not be less than degraded (300), since"
         " more is worse")],
    ),
    "too little the wrong way round": (
        f'{PROFILE}disk_free_ratio = {{ degraded = 0.05, unfit = 0.10, source = "own" }}\n',
        [("profile.lesson.limits.disk_free_ratio: an impossible limit: unfit (0.1) must not be more than degraded"
         " (0.05), since less is worse")],
    ),
    "a share in percent": (
        f'{PROFILE}loss_ratio = {{ degraded = 5, source = "own" }}\n',
        ["profile.lesson.limits.loss_ratio: an impossible limit: 5 is not between 0 and 1"],
    ),
    "less than nothing": (
        PROFILE.replace("300", "-1"),
        ["profile.lesson.limits.rtt_ms: an impossible limit: -1 is negative"],
    ),
    "a limit of nothing": (
        PROFILE.replace("degraded = 300, unfit = 500, ", ""),
        ["profile.lesson.limits.rtt_ms: an impossible limit: neither degraded nor unfit is given"],
    ),
    "a limit from nowhere": (
        PROFILE.replace(', source = "own"', ""),
        ["profile.lesson.limits.rtt_ms.source: missing; expected a text"],
    ),
    "a role that is none": (
        PROFILE.replace('"]', '"]\ndevices = ["blackboard"]'),
        [f"profile.lesson.devices[0]: expected one of {', '.join(ROLES)}, got 'blackboard'"],
    ),
    "nothing that must be known": (
        PROFILE.replace('["ping lesson"]', "[]"),
        [('profile.lesson.signals: missing; expected a text: probes and a role, such as "ping lesson" or "ping|tcp'
         ' codec"')],
    ),
    "a signal of one word": (
        PROFILE.replace("ping lesson", "ping"),
        [('profile.lesson.signals[0]: expected a text: probes and a role, such as "ping lesson" or "ping|tcp codec",'
         " got 'ping'")],
    ),
    "only one language": (
        PROFILE.replace('title_vi = "Buổi học"\n', ""),
        ["profile.lesson.title_vi: missing; expected a text"],
    ),
    "a lesson of no time": (
        PROFILE.replace('"]', '"]\nlesson_min = 0'),
        ["profile.lesson.lesson_min: expected a number above 0, got 0"],
    ),
    "common and own at once": (
        f'{PROFILE.replace("500", "200")}[common]\ncpu_ratio = {{ unfit = 95, source = "own" }}\n',
        [
            "common.cpu_ratio: an impossible limit: 95 is not between 0 and 1",
            ("profile.lesson.limits.rtt_ms: an impossible limit: unfit (200) must not be less than degraded (300),"
            " since more is worse"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_PROFILES.values(), ids=BAD_PROFILES)
def test_a_bad_profile_is_told_with_all_its_problems(text: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    error = refused(lambda: read_profiles(tomllib.loads(text), str(path)))
    assert sentences(error, path) == expected


# In Vietnamese, which is what the people who edit these files read first.

VIETNAMESE = {
    "a near key": ("agnet = 1", ["agnet: không có mục này; ý bạn là agent?"]),
    "a wrong type": (
        'agent = "dongvan-01"\n[broker]\nhost = "127.0.0.1"\ntls = 1',
        ["broker.tls: cần true hoặc false, nhưng nhận được 1"],
    ),
    "a bound": (
        AGENT.replace("1883", "0"),
        ["broker.port: cần một số nguyên từ 1 đến 65535, nhưng nhận được 0"],
    ),
    "no tls": (
        AGENT.replace("127.0.0.1", "10.0.0.5"),
        ["broker.host: địa chỉ 10.0.0.5 mở ra ngoài máy này; khi đó bắt buộc phải có TLS và mật khẩu (tls = true)"],
    ),
    "a duration": (
        f'{AGENT}[spool]\nmax_age_s = "hai tuần"\n',
        [('spool.max_age_s: cần một khoảng thời gian như 30, "30s", "5m", "2h" hoặc "45d" từ 3600 đến 34560000,'
         " nhưng nhận được 'hai tuần'")],
    ),
    "no file": (f'plan = "p.toml"\n{AGENT}', ["plan: không có tệp …/p.toml"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), VIETNAMESE.values(), ids=VIETNAMESE)
def test_a_bad_agents_file_is_told_in_vietnamese(text: str, expected: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, text)
    found = sentences(refused(lambda: load_toml(path, AgentSettings)), path, "vi")
    assert [one for one in found if one in expected] == expected


def test_a_bad_plan_and_a_bad_profile_are_told_in_vietnamese(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    text = f"tick_s = 5\n{PING}count = 100\n{PING}every_s = 7\n"
    error = refused(lambda: read_orders(text.encode(), load_probe, source=str(path), toml=True))
    assert sentences(error, path, "vi") == [
        "probe[1].every_s: 7 giây không phải bội số của tick_s (5 giây)",
        "probe[1].target: đích gateway đã được ping đo một lần rồi; mỗi phép đo chỉ đo một đích một lần",
        "probe[0].every_s: một lần đo có thể mất 24 giây, lâu hơn chu kỳ 5 giây",
    ]
    error = refused(lambda: read_profiles(tomllib.loads(PROFILE.replace("500", "200")), str(path)))
    assert sentences(error, path, "vi") == [
        (
            "profile.lesson.limits.rtt_ms: giới hạn không thể có: unfit (200) phải lớn hơn hoặc bằng degraded (300),"
            " vì càng cao càng xấu"
        )
    ]


# Whatever somebody writes.

_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_written = st.recursive(
    _plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
_KEYS = ("agent", "broker", "host", "port", "tls", "spool", "max_bytes", "max_age_s", "identity", "ca", "probe", "name",
         "target", "tick_s", "every_s", "profile", "alerts", "hold_off_s", "mail", "mode", "plans", "web")  # fmt: skip


@given(st.dictionaries(st.sampled_from(_KEYS), _written | st.dictionaries(st.sampled_from(_KEYS), _written)))
def test_whatever_is_written_is_taken_or_refused_with_sentences(raw: dict[str, object]) -> None:
    for into in (AgentSettings, CollectorSettings):
        try:
            build(raw, into, source="file")
        except SettingsError as error:
            assert error.problems
            assert error.text("vi")
    try:
        read_profiles(raw, "file")
    except SettingsError as error:
        assert error.text("vi")


# What the project itself shows must load.


def _blocks() -> list[tuple[str, str]]:
    """Every block of TOML in the documents, with the document's name and a number."""
    found = []
    for document in sorted(dev.ROOT.glob("**/*.md")):
        if {"node_modules", ".venv"}.isdisjoint(document.parts):
            text = document.read_text(encoding="utf-8")
            for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)):
                found.append((f"{document.relative_to(dev.ROOT).as_posix()} {number}", block))
    return found


@pytest.mark.parametrize("block", [text for _, text in _blocks()], ids=[name for name, _ in _blocks()])
def test_an_example_in_a_document_loads(block: str, tmp_path: Path) -> None:
    raw = tomllib.loads(block)
    if "probe" in raw:
        assert read_orders(block.encode(), load_probe, source="plan", toml=True).probes
    elif "profile" in raw or "common" in raw:
        read_profiles(raw, "profiles")
    else:
        path = write(tmp_path, block.replace('"/', f'"{tmp_path}/'))
        load = agent.settings.load_settings if "agent" in raw else collector.settings.load_settings
        _make_what_it_names(path)
        load(path)


def test_rules_and_missing_folders_are_told_in_the_readers_language(tmp_path: Path) -> None:
    path = write(tmp_path, f'agent = "x"\n{LOOPBACK}')
    said = sentences(refused(lambda: load_toml(path, AgentSettings)), path, "vi")
    assert said == ["agent: cần một chuỗi: 3 đến 32 ký tự a-z, 0-9 và -, ký tự đầu không phải -, nhưng nhận được 'x'"]
    path = write(tmp_path, 'plans = "plans"\n')
    assert sentences(refused(lambda: load_toml(path, CollectorSettings)), path, "vi") == [
        "plans: không có thư mục …/plans"
    ]


def _make_what_it_names(path: Path) -> None:
    """The files and folders that an example speaks of, as an operator would have made them."""
    while True:
        try:
            load_toml(path, CollectorSettings)
        except SettingsError as error:
            missing = [one for one in error.problems if one.code in ("settings.no_file", "settings.no_folder")]
            if not missing:
                return
            for problem in missing:
                one = Path(str(problem.facts["path"]))
                one.parent.mkdir(parents=True, exist_ok=True)
                if problem.code == "settings.no_folder":
                    one.mkdir()
                else:
                    one.write_text("secret", encoding="utf-8")
                    one.chmod(0o600)
        else:
            return


def test_the_demos_plans_load(tmp_path: Path) -> None:
    write(tmp_path, ROOM_PLAN, "default.toml")
    write(tmp_path, this_pc_plan(broker_port=1, web_port=2, dns_port=3, link=True), "this-pc.toml")
    plans = load_plans(tmp_path, default_profiles())
    assert plans.keys() == {"default", "this-pc"}
    assert read_orders(plans["this-pc"].payload, load_probe, source="plan").probes


def test_the_built_in_profiles_load_as_an_operators_copy_would() -> None:
    text = (dev.ROOT / "readiness" / "profiles.toml").read_text(encoding="utf-8")
    assert read_profiles(tomllib.loads(text), "copy") == default_profiles()


def test_a_problem_says_the_same_in_both_languages_where_it_stands() -> None:
    problem = Problem("broker.tls", "settings.needs", {"what": "tls = true", "needed": "ca"})
    assert problem.sentence("en") == "broker.tls: tls = true needs ca"
    assert problem.sentence("vi") == "broker.tls: tls = true cần có ca"

"""What devices say of their parts, and what that means for the room."""

from collections.abc import Mapping

import msgspec
import pytest

from contract.catalogue import LANGUAGES, Language
from contract.outcome import Outcome
from contract.parts import PARTS, STATUS, Admission, State
from contract.reading import Reading
from readiness.codes import Code
from readiness.profile import Profile
from readiness.telling import action, sentence
from readiness.verdict import Finding, Level
from tests.readiness.rooms import CODEC, ZOOM, Room, codes, ping, top, well

SIP = msgspec.structs.replace(CODEC, calls=frozenset({"sip"}), needs_registration=True)


def device(
    target: str = "codec",
    parts: Mapping[str, State] = {},
    *,
    recognition: int = 0,
    figures: Mapping[str, float] = {},
) -> Reading:
    values: dict[str, int | float] = {"recognition_code": recognition, **figures}
    values |= {f"{name}{STATUS}": int(state) for name, state in parts.items()}
    return Reading(probe="device", target=target, values=values)


CODEC_WELL = {
    "system": State.OK, "camera1": State.OK, "microphone1": State.OK, "network": State.OK, "sip": State.OK,
    "h323": State.OK, "sip_registration": State.FAILED, "h323_registration": State.DISABLED,
}  # fmt: skip
"""As a real one is: SIP was set up once and its server is gone, no gatekeeper was ever set up."""


def codec(**changed: State) -> Reading:
    return device("codec", {**CODEC_WELL, **changed})


def only_codec(profile: Profile = CODEC) -> Room:
    """A room whose camera and microphone are the codec's own."""
    return Room(profile)


def lasts(room: Room, *readings: Reading, minutes: int = 4) -> Finding | None:
    """The first finding after so many minutes; None for a room that is well."""
    without = ("camera", "microphone")
    rest = [reading for reading in well() if reading.target not in without]
    verdict = room.minutes(minutes, lambda: [*rest, *readings])
    return top(verdict) if verdict.findings else None


def test_a_codec_that_dials_direct_is_fit_without_any_registration() -> None:
    assert lasts(only_codec(), codec()) is None


def test_a_codec_that_is_called_by_sip_is_unfit_unregistered() -> None:
    found = lasts(only_codec(SIP), codec())
    assert found is not None
    assert (found.code, found.level, found.value) == (
        Code.CODEC_UNREGISTERED,
        Level.UNFIT,
        "sip_registration_status_code",
    )
    assert "SIP registration" in sentence(found, "en")
    assert "đăng ký SIP" in sentence(found, "vi")


def test_where_it_must_be_registered_one_that_is_not_set_up_is_unregistered_too() -> None:
    found = lasts(only_codec(SIP), codec(sip_registration=State.DISABLED))
    assert found is not None
    assert (found.code, found.level) == (Code.CODEC_UNREGISTERED, Level.UNFIT)


def test_a_gatekeeper_that_is_set_up_and_refuses_degrades_h323() -> None:
    found = lasts(only_codec(), codec(h323_registration=State.FAILED))
    assert found is not None
    assert (found.code, found.level, found.value) == (
        Code.CODEC_UNREGISTERED, Level.DEGRADED, "h323_registration_status_code",
    )  # fmt: skip


def test_the_only_camera_that_fails_makes_the_room_unfit_and_is_named() -> None:
    found = lasts(only_codec(), codec(camera1=State.FAILED, system=State.FAILED))
    assert found is not None
    assert (found.code, found.level, found.target, found.value, found.measured) == (
        Code.CAMERA_FAILED, Level.UNFIT, "codec", "camera1_status_code", None,
    )  # fmt: skip
    assert "camera 1" in sentence(found, "vi")
    assert "camera 1" in sentence(found, "en")


def test_a_part_that_fails_is_told_and_not_the_sum_of_all() -> None:
    room = only_codec()
    lasts(room, codec(camera1=State.FAILED, system=State.FAILED))
    assert room.verdict is not None
    assert codes(room.verdict) == [Code.CAMERA_FAILED]


def test_a_device_that_only_sums_up_degrades() -> None:
    found = lasts(only_codec(), codec(system=State.FAILED))
    assert found is not None
    assert (found.code, found.level) == (Code.PART_FAILED, Level.DEGRADED)


@pytest.mark.parametrize("other", ["camera2", "device camera"])
def test_with_another_camera_that_works_the_room_is_degraded(other: str) -> None:
    failed = codec(camera1=State.FAILED, **({"camera2": State.OK} if other == "camera2" else {}))
    found = lasts(only_codec(), failed, *([] if other == "camera2" else [ping("camera-usb")]))
    assert found is not None
    assert (found.code, found.level) == (Code.CAMERA_FAILED, Level.DEGRADED)


@pytest.mark.parametrize("state", [State.DISABLED, State.STANDBY, State.OK])
@pytest.mark.parametrize("part", [part.names()[0] for part in PARTS if not part.name.endswith("registration")])
def test_what_is_disabled_or_asleep_has_not_failed(part: str, state: State) -> None:
    assert lasts(only_codec(), codec(**{part: state})) is None


def test_a_muted_microphone_degrades_and_says_so() -> None:
    found = lasts(only_codec(), codec(microphone1=State.MUTED))
    assert found is not None
    assert (found.code, found.level, found.value) == (Code.PART_MUTED, Level.DEGRADED, "microphone1_status_code")
    assert "muted" in sentence(found, "en")
    assert "tắt tiếng" in sentence(found, "vi")


def test_a_part_that_the_device_does_not_know_of_is_never_green() -> None:
    found = lasts(only_codec(), codec(camera1=State.UNKNOWN))
    assert found is not None
    assert (found.code, found.level) == (Code.PART_UNKNOWN, Level.UNKNOWN)


def test_an_unknown_part_that_the_lesson_does_without_changes_nothing() -> None:
    assert lasts(only_codec(), codec(screen1=State.UNKNOWN)) is None


@pytest.mark.parametrize("part", ["storage", "cover"])
def test_a_part_that_no_lesson_needs_is_not_judged(part: str) -> None:
    assert lasts(only_codec(), codec(**{part: State.FAILED})) is None


def test_a_stack_counts_where_calls_come_by_it() -> None:
    assert lasts(only_codec(), codec(sip=State.FAILED)) is None
    found = lasts(only_codec(), codec(h323=State.FAILED))
    assert found is not None
    assert (found.code, found.level, found.value) == (Code.PART_FAILED, Level.UNFIT, "h323_status_code")


def test_a_lamp_that_fails_is_told_of() -> None:
    found = lasts(only_codec(), codec(), device("projector", {"lamp": State.FAILED}))
    assert found is not None
    assert (found.code, found.level, found.target) == (Code.LAMP_FAILED, Level.DEGRADED, "projector")


def test_a_lamp_near_its_end_is_told_of_in_hours() -> None:
    found = lasts(only_codec(), codec(), device("projector", figures={"lamp_used_h": 2900}))
    assert found is not None
    assert (found.code, found.level) == (Code.LAMP_WORN, Level.DEGRADED)
    assert "2.900 giờ" in sentence(found, "vi")
    assert "2,700 h" in sentence(found, "en")


def test_an_overheated_device_warns() -> None:
    found = lasts(only_codec(), codec(), device("camera-2", {"temperature": State.DEGRADED, "video1": State.OK}))
    assert found is not None
    assert (found.code, found.target, found.value) == (Code.PART_WARNING, "camera-2", "temperature_status_code")


def test_one_bad_reading_is_no_finding() -> None:
    room = only_codec()
    assert lasts(room, codec()) is None
    assert lasts(room, codec(camera1=State.FAILED), minutes=1) is None
    assert lasts(room, codec(camera1=State.FAILED), minutes=1) is not None
    assert lasts(room, codec(), minutes=1) is None


def test_a_finding_begins_when_the_part_failed() -> None:
    room = only_codec()
    lasts(room, codec())
    began_s = room.now + 60
    found = lasts(room, codec(camera1=State.FAILED), minutes=5)
    assert found is not None
    assert found.since_s == began_s


def test_a_poor_call_degrades_while_it_goes_on_and_not_after() -> None:
    room = only_codec()
    poor = {"call_active_bool": 1, "call_loss_ratio": 0.03, "call_jitter_ms": 5.0, "call_latency_ms": 90.0}
    found = lasts(room, device("codec", CODEC_WELL, figures=poor))
    assert found is not None
    assert (found.code, found.level, found.measured) == (Code.CALL_POOR, Level.DEGRADED, 0.03)
    assert lasts(room, device("codec", CODEC_WELL, figures={"call_active_bool": 0}), minutes=1) is None


def test_a_codec_that_is_not_there_is_lost_and_not_poor() -> None:
    room = only_codec()
    poor = {"call_active_bool": 1, "call_loss_ratio": 0.5}
    lasts(room, device("codec", CODEC_WELL, figures=poor))
    found = lasts(room, Reading(probe="device", target="codec", outcome=Outcome.TIMEOUT), minutes=5)
    assert found is not None
    assert (found.code, found.level) == (Code.CODEC_LOST, Level.UNFIT)


def test_of_a_device_that_is_lost_no_part_is_named() -> None:
    room = only_codec()
    lasts(room, codec(camera1=State.FAILED))
    lasts(room, Reading(probe="device", target="codec", outcome=Outcome.TIMEOUT), minutes=5)
    assert room.verdict is not None
    assert codes(room.verdict) == [Code.CODEC_LOST]


def test_one_silence_does_not_heal_a_part() -> None:
    room = only_codec()
    lasts(room, codec(camera1=State.FAILED))
    found = lasts(room, Reading(probe="device", target="codec", outcome=Outcome.TIMEOUT), minutes=1)
    assert found is not None
    assert found.code == Code.CAMERA_FAILED


def test_a_device_that_is_silent_to_what_it_is_asked_is_not_lost() -> None:
    found = lasts(only_codec(), device(recognition=2))
    assert found is not None
    assert (found.code, found.level, found.target) == (Code.DEVICE_SILENT, Level.DEGRADED, "codec")
    assert lasts(Room(ZOOM), device(recognition=2)) is None, "a room that needs no codec"


@pytest.mark.parametrize(
    ("admission", "code"),
    [
        (Admission.ACCEPTED, None),
        (Admission.REFUSED, Code.LOGIN_REFUSED),
        (Admission.UNSENT, Code.LOGIN_UNSENT),
        (Admission.WANTED, Code.LOGIN_WANTED),
    ],
)
def test_a_device_that_does_not_let_us_in_is_there_and_is_told_of(admission: Admission, code: Code | None) -> None:
    outcome = Outcome.OK if admission is Admission.ACCEPTED else Outcome.DENIED
    values: dict[str, int | float] = {"recognition_code": 0, "login_code": int(admission)}
    shut = Reading(probe="device", target="codec", outcome=outcome, values=values, detail="codec: refused the login")
    found = lasts(only_codec(), shut)
    assert (found.code if found is not None else None) == code
    if found is not None:
        assert (found.level, found.target) == (Level.DEGRADED, "codec")
    assert lasts(Room(ZOOM), shut) is None, "a room that needs no codec"


def test_what_a_device_tells_strangers_is_judged_though_it_refuses_our_login() -> None:
    values: dict[str, int | float] = {"recognition_code": 0, "login_code": 1, "camera1_status_code": int(State.FAILED)}
    found = lasts(only_codec(), Reading(probe="device", target="codec", outcome=Outcome.DENIED, values=values))
    assert found is not None
    assert found.code == Code.CAMERA_FAILED


def test_a_denial_that_tells_nothing_of_the_device_leaves_it_unknown() -> None:
    found = lasts(only_codec(), Reading(probe="device", target="codec", outcome=Outcome.DENIED))
    assert found is not None
    assert (found.code, found.level) == (Code.MEASUREMENT_FAILS, Level.UNKNOWN)


def test_a_device_that_nobody_knows_is_there() -> None:
    assert lasts(only_codec(), device(recognition=1)) is None


@pytest.mark.parametrize(
    "code",
    [
        *(code for code in Code if Code.CAMERA_FAILED.rank <= code.rank <= Code.LAMP_WORN.rank),
        Code.LOGIN_REFUSED,
        Code.LOGIN_UNSENT,
        Code.LOGIN_WANTED,
        Code.DEVICE_SILENT,
        Code.PART_UNKNOWN,
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_to_do_is_said_in_both_languages(code: Code, language: Language) -> None:
    found = Finding(code=code, level=Level.DEGRADED, target="codec", since_s=0.0, value="microphone2_status_code")
    assert all(text and "{" not in text for text in (sentence(found, language), action(found, language)))


def test_windows_that_say_the_same_share_their_numbers() -> None:
    room = only_codec()
    lasts(room, codec(), minutes=10)
    windows = room.state.sights["device", "codec"].windows
    assert len(windows) == 10
    assert len({id(window.numbers) for window in windows}) == 1

"""What hangs on the PC itself: whether its camera, microphone, speakers and screens are there; none is opened."""

from collections.abc import Iterator
from typing import ClassVar, Final

import msgspec

from agent.peripherals import find_fitted
from agent.peripherals.fitted import KINDS, Expected, Fitted, parse_expected, values_of
from agent.probe import ProbeFailed, Value, Values
from agent.threads import in_thread
from contract.outcome import Outcome
from contract.parts import STATES, STATUS, names_of
from contract.settings import Phrase, Problem, Target

_RULE: Final = f"one of {', '.join(KINDS)}, and a piece of its name if it must be a certain one"


class Peripherals(msgspec.Struct, frozen=True, kw_only=True):
    """Reads which cameras, microphones, speakers and screens the PC has: from sysfs(5) on Linux, from Plug and Play
    (what WMI calls ConfigManagerErrorCode), the sound system and the privacy switches on Windows. Opens none of them.

    `expect` names what the lesson needs: `camera`, or `camera Logitech` for a certain one. Those come first, in their
    order: `camera1` is the first that is expected. One that is expected and not there is failed; one that is there and
    that a privacy switch, or somebody in the device manager, keeps from programs is blocked. What is not expected and
    switched off is disabled.
    """

    target: Target = "pc"
    expect: tuple[str, ...] = ()

    values: ClassVar[tuple[Value, ...]] = (
        Value("cameras_count", "Cameras that are there, also those that do not work."),
        Value("microphones_count", "Microphones and other sound inputs that are there."),
        Value("speakers_count", "Speakers and other sound outputs that are there; on a screen's cable only with one."),
        Value("screens_count", "Screens and projectors that are connected to the PC."),
        *(
            Value(f"{name}{STATUS}", f"{kind.capitalize()} number {place} of the PC: {STATES}.")
            for kind in KINDS
            for place, name in enumerate(names_of(kind), start=1)
        ),
    )
    rights: ClassVar[str] = (
        "None on Linux. Windows: none for what is there; the privacy switches of whoever is logged on can be read by a "
        "service as LocalSystem or an administrator, and else only the PC's own."
    )
    example: ClassVar[dict[str, object]] = {"expect": ["camera", "microphone Jabra", "speaker"]}

    def doubts(self) -> Iterator[Problem]:
        """What is expected and is no kind of part."""
        for place, text in enumerate(self.expect):
            if parse_expected(text) is None:
                expected = Phrase("expect.text_rule", {"rule": _RULE})
                yield Problem(f"expect[{place}]", "settings.expected", {"expected": expected, "got": repr(text)})

    @property
    def longest_s(self) -> float:
        """A few milliseconds; a driver in trouble may keep us waiting."""
        return 10.0

    async def measure(self) -> Values:
        """One look. Raises ProbeFailed: ABSENT where the system does not tell."""
        fitted = await in_thread("peripherals", lambda _: find_fitted())
        if fitted is None:
            raise ProbeFailed(Outcome.ABSENT, "peripherals: this system has no /sys to tell what hangs on it")
        return self.judged(fitted)

    def judged(self, fitted: list[Fitted]) -> Values:
        """The values of what is there."""
        return values_of(fitted, [one for one in map(parse_expected, self.expect) if isinstance(one, Expected)])

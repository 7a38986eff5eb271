"""The probes: this folder's listing is the feature list. One file, one class, one protocol.

Nothing central names them: `probe_names` reads the folder, and only what a plan asks for is imported.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import cast

import msgspec

from agent.probe import Probe
from contract.secret import hide, hushed
from contract.settings import Problem, SettingsError, build


def probe_names() -> tuple[str, ...]:
    """Names of all probes, in order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def probe_class(name: str) -> type[msgspec.Struct]:
    """The class of a probe, its module imported now. KeyError for a name that is none."""
    if name not in probe_names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name}")
    own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
    (found,) = (one for one in own if hasattr(one, "measure"))
    return cast("type[msgspec.Struct]", found)


def load_probe(name: str, settings: Mapping[str, object], *, source: str = "probe") -> Probe:
    """A probe with its settings, all checked. Raises SettingsError with every problem; neither shows a secret."""
    try:
        into = probe_class(name)
    except KeyError:
        facts = {"probe": name, "known": ", ".join(probe_names())}
        raise SettingsError(source, [Problem("name", "settings.unknown_probe", facts)]) from None
    try:
        return cast("Probe", build(hide(settings), into, source=source))
    except SettingsError as error:
        raise SettingsError(error.source, map(hushed, error.problems)) from None

"""What a room's devices are and how they are: one file in `agent/devices/kinds/` for each kind.

The folder's listing is the list of kinds; nothing central names them. Each file holds one `KIND`:

- A device that answers SNMP is a table of objects, `Table` of `agent.devices.table`: how it is recognised, which
  objects are its parts and its figures, and what their numbers mean. `kinds/poly.py` and `kinds/axis.py` are examples.
- A device that is talked to is a class with the same two questions, `recognise` and `ask`, which connects by
  `agent.devices.talking`, within `device.timeout_s` a question; `kinds/pjlink.py` is an example. `recognise` goes by
  what the device shows to anybody; it returns None for "not one of mine", and raises nothing but ProbeFailed. `ask`
  has the plan's login as `device.key`, if there is one, and gets it out by `wire.login`, which keeps it back from a
  device that has refused it, and by `wire.accepted` or `raise wire.denied()` says what became of it; without a key it
  asks for what is told to anybody.

What comes back is `Told`: parts with their state (`contract.parts`: `camera1`, `sip_registration`, `lamp`) and figures
(`agent.devices.parts`: `uptime_s`, `call_loss_ratio`). Both lists are published and closed: a new part or figure is one
line there, and one in the catalogue (`contract/catalogue/devices.toml`). What a device does not say is left out. A
device that is off, asleep, not configured or not fitted has not failed.
"""

import functools
import importlib
import pkgutil

from agent.devices import kinds
from agent.devices.kind import Kind


def kind_names() -> tuple[str, ...]:
    """Names of all kinds, in order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(kinds.__path__)))


@functools.cache
def load_kind(name: str) -> Kind:
    """The kind of this name, its file imported now. KeyError for a name that is none."""
    if name not in kind_names():
        raise KeyError(name)
    kind: Kind = importlib.import_module(f"{kinds.__name__}.{name}").KIND
    return kind

"""What a device is called by people."""

import pytest

from agent.devices.kind import Identity


@pytest.mark.parametrize(
    ("vendor", "model", "name"),
    [
        ("Eaton", "9PX", "Eaton 9PX"),
        ("Dell", "Dell UPS Tower", "Dell UPS Tower"),
        ("POLY", "Poly G7500", "Poly G7500"),
        ("Axis", "", "Axis"),
        ("", "M1", "M1"),
        ("", "", ""),
    ],
)
def test_maker_and_model_are_said_once_each(vendor: str, model: str, name: str) -> None:
    assert Identity(kind="x", vendor=vendor, model=model).name == name

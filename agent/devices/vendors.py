"""Makers by their number in sysObjectID (IANA's private enterprise numbers), for devices that no kind knows."""

from typing import Final

_ENTERPRISES: Final = "1.3.6.1.4.1."
_VENDORS: Final = {
    9: "Cisco", 11: "HP", 171: "D-Link", 311: "Microsoft", 318: "APC", 368: "Axis", 534: "Eaton", 674: "Dell",
    705: "Eaton", 890: "Zyxel", 935: "Phoenixtec", 1248: "Epson", 2011: "Huawei", 2254: "Delta", 2636: "Juniper",
    3808: "CyberPower", 3902: "ZTE", 4526: "Netgear", 4881: "Ruijie", 5491: "Riello", 5596: "Cisco", 7367: "DrayTek",
    11863: "TP-Link", 12356: "Fortinet", 13885: "Poly", 14823: "Aruba", 14988: "MikroTik", 25506: "H3C",
    39165: "Hikvision", 41112: "Ubiquiti",
}  # fmt: skip


def vendor_of(object_id: object) -> str:
    """The maker that a sysObjectID names; empty for one that we do not know.

    >>> vendor_of("1.3.6.1.4.1.9.1.2571"), vendor_of("1.3.6.1.2.1.33")
    ('Cisco', '')
    """
    if not isinstance(object_id, str) or not object_id.startswith(_ENTERPRISES):
        return ""
    number = object_id.removeprefix(_ENTERPRISES).partition(".")[0]
    return _VENDORS.get(int(number), "") if number.isdecimal() else ""

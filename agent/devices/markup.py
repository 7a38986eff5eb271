"""Reads the XML that devices send, by defusedxml: none of them is trusted not to send a bomb."""

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring


def tree(body: bytes) -> Element | None:
    """The document; None for what is none, or tries something."""
    try:
        return fromstring(body)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None


def texts(element: Element | None, *names: str) -> list[str]:
    """The text of the first element of each name below this one, in whatever namespace; empty where there is none."""
    found = [None if element is None else element.find(f".//{{*}}{name}") for name in names]
    return [" ".join((one.text or "").split()) if one is not None else "" for one in found]

"""The rungs of the ladder from a classroom PC to the collector, nearest first, with their published numbers."""

import enum


class Rung(enum.IntEnum):
    """Which one failed first (`failed_rung_code` of the link probe). Never renumbered; the order is that of the way."""

    NONE = 0  # nothing failed of what was asked
    NIC = 1  # no network card has a carrier: cable out, Wi-Fi off
    ADDRESS = 2  # no address, or only a 169.254 one: DHCP gave none
    GATEWAY = 3  # neither answers pings nor ARP
    ISP = 4  # the provider's first router, which answered while all was well
    NATIONAL = 5
    INTERNATIONAL = 6
    DNS = 7  # the PC's own resolver gives no answer
    DNS_LIES = 8  # a resolver answers what cannot be
    PORTAL = 9  # a foreign page came where ours was asked for
    MTU = 10  # small packets pass, large ones vanish without a word
    LESSON = 11  # none of the lesson's servers takes a connection
    COLLECTOR_NAME = 12
    COLLECTOR_TCP = 13
    COLLECTOR_TLS = 14
    COLLECTOR_MQTT = 15  # whoever took the connection said nothing that a broker says
    COLLECTOR_REFUSED = 16  # the broker itself said no to this agent's credentials

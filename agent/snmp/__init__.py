"""SNMP: how a device is asked, what lets us in, and what devices of all makers say alike."""

"""One file for each kind of device; its name is the kind's."""

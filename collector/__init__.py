"""The program at the centre: keeps what agents send, judges rooms, tells people."""

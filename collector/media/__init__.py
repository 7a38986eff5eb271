"""The far end of the agents' test packets (`agent/media/`): reflects them, and streams for sufficiency tests."""

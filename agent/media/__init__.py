"""Test packets as speech and picture meet them: bursts, streams, and what their arrivals say."""

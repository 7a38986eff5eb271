"""The server that answers as it is told, for all tests of sinks."""

from tests.collector.sinks.answering import server

__all__ = ["server"]

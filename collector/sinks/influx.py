"""The sink for servers with the InfluxDB v2 write API: VictoriaMetrics and InfluxDB 2.

https://docs.influxdata.com/influxdb/v2/api/v2/#operation/PostWrite; VictoriaMetrics answers it at the same path. The
client library costs 39 MiB, so this module is imported only where such a server is configured.
"""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from collector.sample import Sample
from collector.sinks.lines import Lines
from collector.sinks.sink import Refused, SinkDown, Written

_PRECISION: Final[Any] = "ms"  # the library's own constant is a text too, and its signature says otherwise
_BAD_LINES: Final = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
"""Answers about what was sent. All others are about the server or the settings: nothing is refused for good by them."""
_LINES_MAX_COUNT: Final = 10_000
_REFUSALS_BEFORE_DOUBT: Final = 64
_METRICS_MAX_BYTES: Final = 4 << 20
_METRICS_TIMEOUT_S: Final = 5.0
_START_METRICS: Final = (b"process_start_time_seconds ", b"vm_app_start_timestamp ")


class InfluxSink:
    """One server. Whatever a request ends in that is not an answer about a line raises SinkDown.

    A 204 is not storage, hence `settle_s`: VictoriaMetrics loses up to about ten seconds when it is killed. It also
    skips a line that it cannot parse behind a 204, so lines are right by construction (`lines`); and a repeated
    point counts twice there, unless it runs with -dedup.minScrapeInterval=1ms.
    """

    name = "influx"
    settle_s = 30.0

    def __init__(self, *, url: str, org: str, bucket: str, token: str, timeout_s: float = 20.0) -> None:
        """`url` is the server's, without `/api/v2/write`; connects at the first write."""
        self._url = url.rstrip("/")
        self._org = org
        self._bucket = bucket
        self._client = InfluxDBClient(url=self._url, token=token, org=org, timeout=round(timeout_s * 1000))
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        # Built without the environment's proxies, as the client library is.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._lines = Lines()
        self._part_max_count = _LINES_MAX_COUNT
        self._good_line = ""

    def fed_id(self) -> None:
        """The server keeps no account."""
        return

    def write(self, samples: Sequence[Sample], fed_id: int) -> Written:  # noqa: ARG002 - this sink keeps no account
        """Store the samples. Lines that the server refuses are found by halves; all others go through."""
        lines = [self._lines.line(sample) for sample in samples]
        step = self._part_max_count
        parts = [lines[start : start + step] for start in range(0, len(lines), step)]
        refused = self._send(parts[::-1])
        return Written(len(lines) - len(refused), tuple(refused))

    def _send(self, waiting: list[list[str]]) -> list[Refused]:
        """Write the parts, the last first; what was refused, a line each, in the server's words."""
        refused: list[Refused] = []
        refusals_count, believed = 0, False
        while waiting:
            part = waiting.pop()
            words, too_large = self._post(part)
            if not words:
                self._good_line, believed = part[-1], True
                continue
            refusals_count += 1
            if not believed and self._good_line:
                self._check_server(words)
                believed = True
            if not believed and refusals_count >= _REFUSALS_BEFORE_DOUBT:
                raise SinkDown(words)
            if len(part) == 1:
                refused.append(Refused(part[0], words))
                continue
            half = len(part) // 2
            if too_large:
                self._part_max_count = min(self._part_max_count, half)
            waiting += [part[half:], part[:half]]
        if refused and not believed:
            # Nothing was ever taken: the address is wrong rather than each of the lines.
            raise SinkDown(refused[0].why)
        return refused

    def _check_server(self, words: str) -> None:
        """Write a line again that was taken before, which changes nothing: if that is refused too, no line is at
        fault (a wrong address, a proxy in between), and none may be given up.
        """
        again, _ = self._post([self._good_line])
        if again:
            self._good_line = ""
            raise SinkDown(words)

    def _post(self, part: list[str]) -> tuple[str, bool]:
        """Write the lines in one request: empty words, or the server's refusal and whether it was about the size."""
        body = "\n".join(part).encode("ascii")
        try:
            self._api.write(bucket=self._bucket, org=self._org, record=body, write_precision=_PRECISION)
        except ApiException as error:
            words = f"{self._url}: {error.status} {error.reason}: {_message(error.body)}"
            if error.status in _BAD_LINES:
                return words, error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise SinkDown(words) from error
        except Exception as error:  # the border of one request: urllib3's many errors, sockets', an answer not UTF-8
            raise SinkDown(f"{self._url}: {type(error).__name__}: {error}") from error
        return "", False

    def run_mark(self) -> str:
        """When the server's process started, as its /metrics tells; empty when it does not."""
        request = urllib.request.Request(f"{self._url}/metrics")  # noqa: S310 - the settings allow only http(s)
        try:
            with self._opener.open(request, timeout=_METRICS_TIMEOUT_S) as answer:
                text: bytes = answer.read(_METRICS_MAX_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise SinkDown(f"{self._url}/metrics: {error.code} {error.reason}") from error
            return ""  # not for us to read, or not there
        except (OSError, http.client.HTTPException) as error:
            raise SinkDown(f"{self._url}/metrics: {type(error).__name__}: {error}") from error
        found = [line for line in text.splitlines() if line.startswith(_START_METRICS)]
        return b" ".join(sorted(found)).decode("ascii", "replace")

    def tidy(self, now_s: float) -> None:
        """The server keeps its own house."""

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()  # type: ignore[no-untyped-call] # the library forgot to annotate this one


class _Complaint(msgspec.Struct):
    """The body of a refusal, as InfluxDB writes it."""

    message: str


def _message(body: str | None) -> str:
    """The server's own words, one line of at most 300 characters."""
    text = body or ""
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):  # VictoriaMetrics and proxies answer plain text
        text = msgspec.json.decode(text, type=_Complaint).message
    return " ".join(text.split())[:300]

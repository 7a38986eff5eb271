"""Answers requests: the pages for people, and the figures and states for other programs. Changes nothing."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from collector import metrics
from collector.snapshot import Snapshot
from collector.web import chart, pages
from collector.web.letters import Letters, read_mail
from collector.web.rooms_json import rooms_document
from collector.web.words import Words
from contract.catalogue import LANGUAGES, Language, say

_HERE: Final = Path(__file__).parent
_LETTERS_SHOWN: Final = 200
_YEAR_S: Final = 365 * 86400

# No page needs anything from anywhere else, so that is what browsers are told. A mail's HTML has its colours in
# style attributes and a srcdoc frame inherits the page's policy: that one page allows them.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'{styles}; script-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": _POLICY.format(styles=""),
}

_log = logging.getLogger(__name__)


def build_site(
    snapshot: Callable[[], Snapshot | None],
    outbox: Letters,
    *,
    ready: Callable[[], tuple[str, ...]],
    now: Callable[[], float],
    title: str = "",
) -> Starlette:
    """The site. `snapshot` and `ready` are called from several threads and must be quick; `now` is Unix seconds.

    `ready` returns what keeps the collector from doing its work, one sentence each; nothing means ready. `title`
    stands beside the product's name, to tell one installation from another.
    """
    return _Site(snapshot, outbox, ready=ready, now=now, title=title).starlette()


class _Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file that browsers keep for ever, because its name changes with its content."""

    name: str
    body: bytes
    media_type: str


def _asset(file: str, media_type: str) -> _Asset:
    body = (_HERE / "static" / file).read_bytes()
    stem, ending = file.rsplit(".", 1)
    return _Asset(name=f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{ending}", body=body, media_type=media_type)


class _Site:
    """The routes, and the parts that they share."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        outbox: Letters,
        *,
        ready: Callable[[], tuple[str, ...]],
        now: Callable[[], float],
        title: str,
    ) -> None:
        self._snapshot = snapshot
        self._outbox = outbox
        self._ready = ready
        self._now = now
        self._title = title
        self._registry = metrics.metrics_registry(snapshot)
        self._style = _asset("site.css", "text/css")
        self._script = _asset("site.js", "text/javascript")
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def starlette(self) -> Starlette:
        """The routes, ready to serve."""
        # Functions that are not coroutines run in Starlette's threads: a slow page does not delay /healthz.
        return Starlette(
            routes=[
                Route("/", self.wall),
                Route("/rooms/{room}", self.room),
                Route("/letters", self.letters),
                Route("/letters/{letter}", self.letter),
                Route("/letters/{letter}/raw.eml", self.raw_letter),
                Route("/about", self.about),
                Route("/rooms.json", self.rooms_json),
                Route("/healthz", self.healthz),
                Route("/readyz", self.readyz),
                Route("/metrics", self.metrics),
                Route("/static/{name}", self.static),
            ],
            middleware=[Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)],
            exception_handlers={HTTPException: self.refused, Exception: self.broken},
        )

    def wall(self, request: Request) -> Response:
        """All rooms, or those of `?province=`."""
        taken = self._snapshot()
        shown = None if taken is None else pages.wall(taken.rooms, request.query_params.get("province", ""))
        return self._page(request, "wall.html", taken, wall=shown)

    def room(self, request: Request) -> Response:
        """One room."""
        taken = self._snapshot()
        if taken is None:
            return self._page(request, "starting.html", taken)
        found = pages.room_of(taken, request.path_params["room"])
        if found is None:
            raise HTTPException(404)
        return self._page(request, "room.html", taken, room=found)

    def letters(self, request: Request) -> Response:
        """The newest letters."""
        return self._page(request, "letters.html", self._snapshot(), letters=self._outbox.letters(_LETTERS_SHOWN))

    def letter(self, request: Request) -> Response:
        """One letter as its reader sees it."""
        mail = read_mail(self._raw(request))
        answer = self._page(
            request, "letter.html", self._snapshot(), mail=mail, letter=request.path_params["letter"]
        )  # fmt: skip
        answer.headers["Content-Security-Policy"] = _POLICY.format(styles=" 'unsafe-inline'")
        return answer

    def raw_letter(self, request: Request) -> Response:
        """One letter as it went over the wire, to keep or to open in a mail program."""
        headers = {"Content-Disposition": 'attachment; filename="letter.eml"'}
        return _answer(self._raw(request), "message/rfc822", headers=headers)

    def _raw(self, request: Request) -> bytes:
        raw = self._outbox.letter(request.path_params["letter"])
        if raw is None:
            raise HTTPException(404)
        return raw

    def about(self, request: Request) -> Response:
        """How the collector itself is."""
        return self._page(request, "about.html", self._snapshot())

    def rooms_json(self, _request: Request) -> Response:
        """All rooms for other programs (`RoomsDocument`)."""
        return _answer(msgspec.json.encode(rooms_document(self._snapshot())), "application/json")

    async def healthz(self, _request: Request) -> Response:
        """Whether the process lives; says nothing about whether it can do its work."""
        return _answer(b"ok\n", "text/plain")

    def readyz(self, _request: Request) -> Response:
        """Whether the collector can do its work, and what keeps it from it."""
        problems = self._ready()
        if problems:
            return _answer("".join(f"{problem}\n" for problem in problems).encode(), "text/plain", status=503)
        return _answer(b"ready\n", "text/plain")

    def metrics(self, _request: Request) -> Response:
        """The collector's figures for Prometheus."""
        return _answer(metrics.exposition(self._registry), metrics.CONTENT_TYPE)

    async def static(self, request: Request) -> Response:
        """The style sheet and the script."""
        for asset in (self._style, self._script):
            if request.path_params["name"] == asset.name:
                return _answer(asset.body, asset.media_type, cache=f"public, max-age={_YEAR_S}, immutable")
        raise HTTPException(404)

    async def refused(self, request: Request, error: Exception) -> Response:
        """A page in words for an address that is not there, or a method that is not taken."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        about = {404: "missing", 405: "method"}.get(status, "broken")
        page = await run_in_threadpool(self._page, request, "message.html", None, about=about)
        page.status_code = status
        page.headers.update(headers or {})
        return page

    async def broken(self, request: Request, _error: Exception) -> Response:
        """A page in words for a fault of ours; the server logs the traceback."""
        try:
            page = await run_in_threadpool(self._page, request, "message.html", None, about="broken")
        except Exception:  # noqa: BLE001 - a border: the very page that reports a fault is at fault
            _log.exception("the page that reports a fault failed")
            return PlainTextResponse("500\n", status_code=500, headers=_EVERYWHERE)
        page.status_code = 500
        return page

    def _page(self, request: Request, template: str, taken: Snapshot | None, **facts: object) -> Response:
        language, chosen = _language(request)
        now_s = self._now()
        words = Words(language, now_s)
        body = self._templates.get_template(template).render(
            **facts,
            w=words,
            snapshot=taken,
            stale=taken is not None and now_s - taken.taken_s > pages.STALE_AFTER_S,
            installation=self._title,
            path=request.url.path,
            other_language_link=_with_language(request, "en" if language == "vi" else "vi"),
            style=self._style.name,
            script=self._script.name,
            pages=pages,
            chart=chart.chart,
            strip=chart.strip,
            say_code=say,
        )
        answer = _answer(body.encode(), "text/html")
        answer.headers["Content-Language"] = language
        answer.headers["Vary"] = "Cookie"
        if chosen:
            answer.set_cookie("lang", language, max_age=_YEAR_S, samesite="lax", httponly=True)
        return answer


def _answer(
    body: bytes, media_type: str, *, status: int = 200, cache: str = "no-store", headers: dict[str, str] | None = None
) -> Response:
    return Response(
        body,
        status_code=status,
        media_type=media_type,
        headers={**_EVERYWHERE, "Cache-Control": cache, **(headers or {})},
    )


def _language(request: Request) -> tuple[Language, bool]:
    """The language to answer in, and whether this request chose it (and wants it remembered)."""
    for wanted, chosen in ((request.query_params.get("lang"), True), (request.cookies.get("lang"), False)):
        for language in LANGUAGES:
            if wanted == language:
                return language, chosen
    return "vi", False


def _with_language(request: Request, language: Language) -> str:
    """This very page in another language."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return f"{request.url.path}?{urlencode([*query, ('lang', language)])}"

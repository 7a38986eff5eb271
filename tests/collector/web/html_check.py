"""A reader of HTML that is stricter than a browser: what browsers mend in silence is an error here."""

from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img", "input", "hr"}
_NO_SUCH = {"script", "img"}


class HtmlCheck(HTMLParser):
    """Gathers `faults`, and what the tests ask for: all text, all tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._ids: set[str] = set()
        self.feed(page)
        self.close()
        if self._open:
            self.faults.append(f"never closed: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if len(named) != len(attrs):
            self.faults.append(f"{self.getpos()}: <{tag}> names an attribute twice")
        self.faults += [
            f"{self.getpos()}: <{tag} {name}>" for name in named if name.startswith("on") or name == "style"
        ]
        if (name := named.get("id")) is not None:
            if name in self._ids:
                self.faults.append(f"{self.getpos()}: id {name} twice")
            self._ids.add(name)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"{self.getpos()}: </{tag}> closes {self._open[-3:]}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of this name."""
        return [attrs for name, attrs in self.tags if name == tag]

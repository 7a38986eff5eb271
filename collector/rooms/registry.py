"""Knows the rooms, where they are, who answers for them, and which agents stand in them, with dates.

A change made here by one program (`sansang-collector agents add`) is noticed by another through a version number.
"""

import difflib
import functools
import hashlib
import hmac
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    and_,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from collector.rooms.rooms_file import (
    DEFAULT_LANGUAGE,
    LONGEST_NAME_CHARS,
    BadLine,
    ContactRow,
    PlaceKind,
    is_address,
    read_rooms,
)
from collector.rooms.spelling import tag_of, tidy
from collector.storage.database import metadata
from contract.catalogue import Language, say
from contract.names import is_id, is_tag

COLLECTOR: Final = "collector"
"""The collector's own user name at every broker; no agent may bear it."""
_LONGEST_FILE_BYTES: Final = 64 * 1024 * 1024

_place: Final = Table(
    "place",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent", Integer, ForeignKey("place.id")),
    Column("kind", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    Index("place_in_parent", "parent", "kind"),
)
_room: Final = Table(
    "room",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("place", Integer, ForeignKey("place.id"), nullable=False),
    Column("profile", String(32), nullable=False, default=""),
    Column("plan", String(32), nullable=False, default=""),
)
_agent: Final = Table(
    "agent",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("added_s", Float, nullable=False),
    Column("revoked_s", Float),
    Column("token_sha256", String(64), nullable=False, default=""),
    Column("certificate_serial", String(64), nullable=False, default=""),
)
_standing: Final = Table(
    "standing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("agent", String(32), ForeignKey("agent.id"), nullable=False, index=True),
    Column("room", String(32), ForeignKey("room.id"), nullable=False, index=True),
    Column("from_s", Float, nullable=False),
    Column("until_s", Float),
)
_contact: Final = Table(
    "contact",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("room", String(32), ForeignKey("room.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("address", String(254), nullable=False),
    Column("language", String(8), nullable=False),
    Column("from_s", Float, nullable=False),
    Column("until_s", Float),
)
_version: Final = Table(
    "registry_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)


class RegistryError(Exception):
    """The registry cannot do what was asked; the sentence says why and what to do instead."""

    def __init__(self, code: str, **facts: object) -> None:
        self.code = code
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return say(self.code, language, **self.facts)


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """One room. `place` holds the names from the province down to the school; `province` is the province's tag.

    `profile` and `plan` are names, empty where the collector's defaults hold.
    """

    room: str
    name: str
    place: tuple[str, ...]
    province: str
    profile: str = ""
    plan: str = ""


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered for a room from `from_s` on, until `until_s` (Unix seconds; None: still does)."""

    room: str
    name: str
    address: str
    language: Language
    from_s: float
    until_s: float | None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """In which room an agent stood from `from_s` on, until `until_s` (Unix seconds; None: still does)."""

    agent: str
    room: str
    from_s: float
    until_s: float | None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent with all rooms it ever stood in, oldest first. `token_sha256` is empty before its enrolment."""

    agent: str
    added_s: float
    revoked_s: float | None
    token_sha256: str
    certificate_serial: str
    standings: tuple[Standing, ...]

    @property
    def room(self) -> str | None:
        """The room where it stands now; None once it is revoked."""
        return self.standings[-1].room if self.standings and self.standings[-1].until_s is None else None

    def room_at(self, at_s: float) -> str | None:
        """The room where it stood at a time.

        Before its first day that is its first room: the agent did not exist then, so only a wrong clock says so.
        """
        for standing in reversed(self.standings):
            if at_s >= standing.from_s:
                return standing.room if standing.until_s is None or at_s < standing.until_s else None
        return self.standings[0].room if self.standings else None


class RegistryView(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The whole registry at one version, for threads that must not wait for a database."""

    version: int
    rooms: Mapping[str, Room]
    agents: Mapping[str, Agent]
    contacts: Mapping[str, tuple[Contact, ...]]
    """By room, those in force and those of the past, oldest first."""

    def is_welcome(self, agent: str) -> bool:
        """Whether the agent is known and not revoked."""
        found = self.agents.get(agent)
        return found is not None and found.revoked_s is None

    def is_revoked(self, agent: str) -> bool:
        """Whether the agent is known, and revoked."""
        found = self.agents.get(agent)
        return found is not None and found.revoked_s is not None

    def room_of(self, agent: str, at_s: float) -> Room | None:
        """The room where an agent stood at a time; None for an unknown agent and for one that stood nowhere."""
        found = self.agents.get(agent)
        room = found.room_at(at_s) if found else None
        return self.rooms.get(room) if room else None

    def agents_in(self, room: str) -> tuple[str, ...]:
        """The agents that stand in a room now."""
        return self._present.get(room, ())

    def revoked_in(self, room: str) -> Agent | None:
        """The agent that stood in a room last, if it was revoked there and none stands there now."""
        return None if self.agents_in(room) else self._last_revoked.get(room)

    @functools.cached_property
    def _last_revoked(self) -> dict[str, Agent]:
        left: dict[str, tuple[float, Agent]] = {}
        for agent in self.agents.values():
            for standing in agent.standings:
                if standing.until_s is not None:
                    left[standing.room] = max(
                        (standing.until_s, agent), left.get(standing.room, (0.0, agent)), key=lambda one: one[0]
                    )
        return {room: agent for room, (left_s, agent) in left.items() if agent.revoked_s == left_s}

    @functools.cached_property
    def _present(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for agent in self.agents.values():
            if agent.room is not None:
                found[agent.room] = (*found.get(agent.room, ()), agent.agent)
        return found

    def contacts_of(self, room: str, at_s: float) -> tuple[Contact, ...]:
        """Who answered for a room at a time."""
        return tuple(
            contact
            for contact in self.contacts.get(room, ())
            if contact.from_s <= at_s and (contact.until_s is None or at_s < contact.until_s)
        )

    def knows_token(self, agent: str, token: str) -> bool:
        """Whether the token is the agent's present one; compared in constant time."""
        found = self.agents.get(agent)
        if found is None or found.revoked_s is not None or not found.token_sha256:
            return False
        return hmac.compare_digest(found.token_sha256, digest_of(token))


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of rooms brought: ids of rooms, in the file's order. With a bad line, nothing was imported."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    bad: tuple[BadLine, ...] = ()


class Registry:
    """The registry in a database. Times are Unix seconds; every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.connect() as connection:
            present = connection.scalar(select(_version.c.version))
        if present is None:
            try:
                with engine.begin() as connection:
                    connection.execute(insert(_version).values(id=1, version=1))
            except IntegrityError:
                return  # another program made it in the same moment

    # Changes

    def import_rooms(self, path: Path, now_s: float, *, profiles: Collection[str] | None = None) -> ImportReport:
        """Take over a CSV file of rooms, whole or not at all; the same file again changes nothing.

        Columns room, name, province, school; and where wanted district, commune, contact_name, contact_mail,
        language (vi, en) and profile (one of `profiles`, where given). UTF-8, commas or semicolons. A contact that
        the file changes ends now. Rooms that the file does not name stay as they are. RegistryError when the file
        cannot be read.
        """
        rows, bad = read_rooms(_text_of(path), profiles)
        if bad:
            return ImportReport(bad=tuple(bad))
        added, updated, unchanged = [], [], []
        with self._change() as connection:
            for row in rows:
                before = _load_rooms(connection, row.room).get(row.room)
                place = _find_place(connection, row.place)
                facts = {"name": row.name, "place": place}
                if row.profile is not None:
                    facts["profile"] = row.profile
                if before is None:
                    connection.execute(insert(_room).values(id=row.room, **facts))
                else:
                    connection.execute(update(_room).where(_room.c.id == row.room).values(**facts))
                contact_changed = row.contact is not None and _set_contact(connection, row.room, row.contact, now_s)
                if before is None:
                    added.append(row.room)
                elif contact_changed or before != _load_rooms(connection, row.room)[row.room]:
                    updated.append(row.room)
                else:
                    unchanged.append(row.room)
        return ImportReport(added=tuple(added), updated=tuple(updated), unchanged=tuple(unchanged))

    def add_room(
        self,
        room: str,
        *,
        name: str,
        province: str,
        school: str,
        district: str = "",
        profile: str = "",
        profiles: Collection[str] | None = None,
        contact: ContactRow | None = None,
        now_s: float = 0.0,
    ) -> None:
        """Add one room by hand, with the person who answers for it from `now_s` on, or not at all.

        RegistryError when the id is bad or taken, a name is missing or unfit, the profile is none of `profiles`, where
        given, or the contact has no address.
        """
        _demand_id(room)
        for column, text in (("name", name), ("province", province), ("school", school)):
            if not text.strip():
                raise RegistryError("registry.empty", column=column)
        for text in (name, province, school, district):
            if len(text) > LONGEST_NAME_CHARS:
                raise RegistryError("registry.long", column=repr(text[:20]), longest=LONGEST_NAME_CHARS)
            if not text.isprintable():
                raise RegistryError("registry.unprintable", text=repr(text))
        if not tag_of(province):
            raise RegistryError("registry.bad_province", province=province)
        if profiles is not None and profile and profile not in profiles:
            raise RegistryError("registry.bad_profile", profile=profile, choices=", ".join(sorted(profiles)))
        if contact is not None and not is_address(contact.address):
            raise RegistryError("registry.bad_mail", address=contact.address)
        levels: list[tuple[PlaceKind, str]] = [("province", province), ("district", district), ("school", school)]
        with self._change() as connection:
            if room in _load_rooms(connection, room):
                raise RegistryError("registry.room_taken", room=room)
            place = _find_place(connection, [(kind, tidy(text)) for kind, text in levels if text.strip()])
            connection.execute(insert(_room).values(id=room, name=tidy(name), place=place, profile=profile))
            if contact is not None:
                _set_contact(connection, room, contact, now_s)

    def set_contact(
        self, room: str, now_s: float, *, name: str, address: str, language: Language = DEFAULT_LANGUAGE
    ) -> None:
        """Make a person answer for a room from now on, in place of whoever did."""
        if not is_address(address):
            raise RegistryError("registry.bad_mail", address=address)
        with self._change() as connection:
            _demand_room(connection, room)
            _set_contact(connection, room, ContactRow(name, address, language), now_s)

    def add_agent(self, agent: str, room: str, now_s: float) -> bool:
        """Let an agent stand in a room; False when it stands there already.

        RegistryError when it stands in another room (move it), was revoked (a replaced PC is a new agent), or when
        there is no such room.
        """
        _demand_id(agent)
        if agent == COLLECTOR:
            raise RegistryError("registry.reserved_id", agent=agent)
        with self._change() as connection:
            _demand_room(connection, room)
            present = _load_agents(connection, agent).get(agent)
            if present is None:
                connection.execute(insert(_agent).values(id=agent, added_s=now_s))
                connection.execute(insert(_standing).values(agent=agent, room=room, from_s=now_s))
                return True
            if present.revoked_s is not None:
                raise RegistryError("registry.agent_revoked", agent=agent)
            if present.room != room:
                raise RegistryError("registry.agent_elsewhere", agent=agent, room=room, present=present.room)
            return False

    def move_agent(self, agent: str, room: str, now_s: float) -> str:
        """Let an agent stand in another room from now on; returns the room that it left."""
        with self._change() as connection:
            present = _demand_agent(connection, agent)
            _demand_room(connection, room)
            if present.revoked_s is not None:
                raise RegistryError("registry.agent_revoked", agent=agent)
            left = present.standings[-1].room
            if left != room:
                _end_standing(connection, agent, now_s)
                connection.execute(insert(_standing).values(agent=agent, room=room, from_s=now_s))
            return left

    def revoke_agent(self, agent: str, now_s: float) -> Agent:
        """Believe an agent no longer, for good; returns it as it was, with the serial of its certificate."""
        with self._change() as connection:
            present = _demand_agent(connection, agent)
            if present.revoked_s is None:
                _end_standing(connection, agent, now_s)
                connection.execute(update(_agent).where(_agent.c.id == agent).values(revoked_s=now_s))
            return present

    def set_credential(self, agent: str, *, token_sha256: str, certificate_serial: str) -> Agent:
        """Note an agent's new credential, which ends the old one; returns the agent as it was before."""
        with self._change() as connection:
            present = _demand_agent(connection, agent)
            if present.revoked_s is not None:
                raise RegistryError("registry.agent_revoked", agent=agent)
            values = {"token_sha256": token_sha256, "certificate_serial": certificate_serial}
            connection.execute(update(_agent).where(_agent.c.id == agent).values(values))
            return present

    # Questions

    def version(self) -> int:
        """A number that grows with every change, whoever makes it."""
        with self._engine.connect() as connection:
            return _read_version(connection)

    def rooms(self) -> tuple[Room, ...]:
        """All rooms in order of their ids."""
        with self._engine.connect() as connection:
            return tuple(_load_rooms(connection).values())

    def room(self, room: str) -> Room:
        """One room; RegistryError with the nearest id when there is none."""
        with self._engine.connect() as connection:
            return _demand_room(connection, room)

    def agents(self) -> tuple[Agent, ...]:
        """All agents in order of their ids, the revoked too."""
        with self._engine.connect() as connection:
            return tuple(_load_agents(connection).values())

    def agent(self, agent: str) -> Agent:
        """One agent; RegistryError with the nearest id when there is none."""
        with self._engine.connect() as connection:
            return _demand_agent(connection, agent)

    def standings(self, agent: str) -> tuple[Standing, ...]:
        """Every room that an agent stood in, oldest first."""
        return self.agent(agent).standings

    def room_of(self, agent: str, at_s: float) -> str | None:
        """The room where an agent stood at a time (see `Agent.room_at`); None for an unknown agent."""
        with self._engine.connect() as connection:
            present = _load_agents(connection, agent).get(agent)
        return present.room_at(at_s) if present else None

    def contacts_of(self, room: str, at_s: float) -> tuple[Contact, ...]:
        """Who answered for a room at a time."""
        in_force = and_(_contact.c.from_s <= at_s, or_(_contact.c.until_s.is_(None), _contact.c.until_s > at_s))
        with self._engine.connect() as connection:
            rows = connection.execute(select(_contact).where(_contact.c.room == room, in_force).order_by(_contact.c.id))
            return tuple(_to_contact(row) for row in rows.mappings())

    def view(self, last: RegistryView | None = None) -> RegistryView:
        """Everything in one frozen picture; `last` itself when nothing changed since, which costs one short query."""
        with self._engine.connect() as connection:
            version = _read_version(connection)
            if last is not None and last.version == version:
                return last
            contacts: dict[str, tuple[Contact, ...]] = {}
            for row in connection.execute(select(_contact).order_by(_contact.c.id)).mappings():
                contacts[row["room"]] = (*contacts.get(row["room"], ()), _to_contact(row))
            # The version was read first: a change in between is at worst loaded twice, never missed.
            return RegistryView(
                version=version, rooms=_load_rooms(connection), agents=_load_agents(connection), contacts=contacts
            )

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            # First of all, so that SQLite takes the lock for writing before anything is read and believed.
            connection.execute(update(_version).values(version=_version.c.version + 1))
            yield connection


def digest_of(token: str) -> str:
    """SHA-256 of a token in hex, all that the registry keeps of it: 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_FILE_BYTES + 1)
    except OSError as error:
        raise RegistryError("registry.unreadable", path=path, reason=error.strerror) from error
    if len(raw) > _LONGEST_FILE_BYTES:
        raise RegistryError("registry.too_long", path=path)
    try:
        # Excel writes a BOM, and a Mac writes a letter and its marks apart: one spelling for all.
        return unicodedata.normalize("NFC", raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RegistryError("registry.not_utf8", path=path, line=line) from error


# Rows


def _read_version(connection: Connection) -> int:
    return int(connection.execute(select(_version.c.version)).scalar_one())


def _load_rooms(connection: Connection, only: str | None = None) -> dict[str, Room]:
    rooms = select(_room).order_by(_room.c.id)
    found = connection.execute(rooms if only is None else rooms.where(_room.c.id == only)).mappings().all()
    places: dict[int, tuple[int | None, str]] = {}
    if only is None:
        places = {row.id: (row.parent, row.name) for row in connection.execute(select(_place))}
    return {row["id"]: _to_room(row, _path_of(connection, places, row["place"])) for row in found}


def _path_of(connection: Connection, places: dict[int, tuple[int | None, str]], place: int) -> tuple[str, ...]:
    names: list[str] = []
    at: int | None = place
    while at is not None:
        if at not in places:
            row = connection.execute(select(_place).where(_place.c.id == at)).one()
            places[at] = (row.parent, row.name)
        at, name = places[at]
        names.insert(0, name)
    return tuple(names)


def _to_room(row: Mapping[Any, Any], place: tuple[str, ...]) -> Room:
    province = tag_of(place[0])
    return Room(
        room=row["id"],
        name=row["name"],
        place=place,
        province=province if is_tag(province) else "",
        profile=row["profile"],
        plan=row["plan"],
    )


def _load_agents(connection: Connection, only: str | None = None) -> dict[str, Agent]:
    agents, standings = select(_agent).order_by(_agent.c.id), select(_standing).order_by(_standing.c.id)
    if only is not None:
        agents, standings = agents.where(_agent.c.id == only), standings.where(_standing.c.agent == only)
    stood: dict[str, list[Standing]] = {}
    for row in connection.execute(standings):
        stood.setdefault(row.agent, []).append(
            Standing(agent=row.agent, room=row.room, from_s=row.from_s, until_s=row.until_s)
        )
    return {
        row.id: Agent(
            agent=row.id,
            added_s=row.added_s,
            revoked_s=row.revoked_s,
            token_sha256=row.token_sha256,
            certificate_serial=row.certificate_serial,
            standings=tuple(stood.get(row.id, ())),
        )
        for row in connection.execute(agents)
    }


def _to_contact(row: Mapping[Any, Any]) -> Contact:
    return Contact(
        room=row["room"],
        name=row["name"],
        address=row["address"],
        language=row["language"],
        from_s=row["from_s"],
        until_s=row["until_s"],
    )


def _find_place(connection: Connection, levels: Sequence[tuple[PlaceKind, str]]) -> int:
    """The place at the end of a path of names, made where it is missing.

    A province is the same by its tag, so that "Tỉnh Lào Cai" and "Lào Cai" are one; its latest spelling is kept.
    """
    parent: int | None = None
    for kind, name in levels:
        here = _place.c.parent.is_(None) if parent is None else _place.c.parent == parent
        among = connection.execute(select(_place).where(here, _place.c.kind == kind)).all()
        same = tag_of if kind == "province" else str.casefold
        match = next((row for row in among if same(row.name) == same(name)), None)
        if match is None:
            made = connection.execute(insert(_place).values(parent=parent, kind=kind, name=name))
            parent = int(made.inserted_primary_key[0])  # type: ignore[index]  # set by every dialect for one row
        else:
            parent = int(match.id)
            if match.name != name:
                connection.execute(update(_place).where(_place.c.id == parent).values(name=name))
    if parent is None:
        raise ValueError("a place needs at least one level")
    return parent


def _set_contact(connection: Connection, room: str, contact: ContactRow, now_s: float) -> bool:
    """Whether that changed anything. An empty address leaves nobody in charge."""
    present = connection.execute(select(_contact).where(_contact.c.room == room, _contact.c.until_s.is_(None))).all()
    if [(row.name, row.address, row.language) for row in present] == ([tuple(contact)] if contact.address else []):
        return False
    connection.execute(
        update(_contact).where(_contact.c.room == room, _contact.c.until_s.is_(None)).values(until_s=now_s)
    )
    if contact.address:
        connection.execute(insert(_contact).values(room=room, from_s=now_s, **contact._asdict()))
    return True


def _end_standing(connection: Connection, agent: str, now_s: float) -> None:
    connection.execute(
        update(_standing).where(_standing.c.agent == agent, _standing.c.until_s.is_(None)).values(until_s=now_s)
    )


def _demand_id(text: str) -> None:
    if not is_id(text):
        raise RegistryError("registry.bad_id", id=text)


def _demand_room(connection: Connection, room: str) -> Room:
    found = _load_rooms(connection, room).get(room)
    if found is None:
        near = difflib.get_close_matches(room, connection.scalars(select(_room.c.id)).all(), n=1)
        raise RegistryError(
            "registry.no_room_near" if near else "registry.no_room", room=room, **({"nearest": near[0]} if near else {})
        )
    return found


def _demand_agent(connection: Connection, agent: str) -> Agent:
    found = _load_agents(connection, agent).get(agent)
    if found is None:
        near = difflib.get_close_matches(agent, connection.scalars(select(_agent.c.id)).all(), n=1)
        raise RegistryError(
            "registry.no_agent_near" if near else "registry.no_agent",
            agent=agent,
            **({"nearest": near[0]} if near else {}),
        )
    return found

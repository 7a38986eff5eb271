"""Rooms, agents, and a broker that runs by itself: who is known to the centre."""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from collector.app import load_profiles
from collector.authority import Authority
from collector.commands.words import (
    EXIT_WRONG,
    Commands,
    WrongWordError,
    demand_writable,
    language_of,
    open_registry,
    settings_of,
)
from collector.rooms.enrolment import BrokerAddress, dismiss, enrol, equip_broker
from collector.rooms.rooms_file import ContactRow
from collector.watch import DEFAULT_PROFILE
from contract.catalogue import say
from contract.settings import Problem

_HOST: Final = re.compile(r"[A-Za-z0-9_*]([A-Za-z0-9_.:-]*[A-Za-z0-9.:])?|::[0-9a-fA-F:.]*")


def add_to(commands: Commands) -> None:
    """All commands of this file."""
    rooms = commands.below("rooms", "The rooms of the registry.")
    imported = rooms.add("import", import_rooms, "Take over a CSV file of rooms, whole or not at all.")
    imported.add_argument("file", type=Path)
    rooms.add("list", list_rooms, "List all rooms.")
    added = rooms.add("add", add_room, "Add one room.")
    added.add_argument("room")
    for name in ("name", "province", "school"):
        added.add_argument(f"--{name}", required=True)
    for name in ("district", "profile", "contact-name", "contact-mail"):
        added.add_argument(f"--{name}", default="")

    agents = commands.below("agents", "The agents and their rooms.")
    enrolled = agents.add("add", add_agent, "Enrol an agent: make its credential and the small file that its PC needs.")
    enrolled.add_argument("agent")
    enrolled.add_argument("--room", required=True)
    enrolled.add_argument("--file", type=Path, help="where to write the PC's file (AGENT.toml)")
    agents.add("list", list_agents, "List all agents.")
    moved = agents.add("move", move_agent, "Let an agent stand in another room from now on.")
    moved.add_argument("agent")
    moved.add_argument("--room", required=True)
    agents.add("revoke", revoke_agent, "End an agent's credential for good.").add_argument("agent")

    broker = commands.below("broker", "A broker that runs by itself.")
    equipped = broker.add("equip", equip, "Write the certificates that deploy/mosquitto needs.")
    equipped.add_argument("folder", type=Path)
    equipped.add_argument("--name", action="append", default=[], help="a name or address under which agents reach it")


def import_rooms(arguments: argparse.Namespace) -> int:
    """Every bad line with its number and reason, or all rooms."""
    settings = settings_of(arguments)
    language = language_of(arguments)
    with open_registry(settings) as registry:
        report = registry.import_rooms(arguments.file, arguments.now_s, profiles=load_profiles(settings.profiles))
    if report.bad:
        print("\n".join(line.sentence(language) for line in report.bad), file=sys.stderr)
        print(say("operator.import_refused", language, file=arguments.file, count=len(report.bad)), file=sys.stderr)
        return EXIT_WRONG
    counts = {"added": len(report.added), "updated": len(report.updated), "unchanged": len(report.unchanged)}
    print(say("operator.imported", language, **counts))
    return 0


def list_rooms(arguments: argparse.Namespace) -> int:
    """A line a room: id, name, place, agents."""
    with open_registry(settings_of(arguments)) as registry:
        view = registry.view()
    for name, room in sorted(view.rooms.items()):
        agents = ",".join(view.agents_in(name)) or "-"
        print(f"{name}\t{room.name}\t{' > '.join(room.place)}\t{room.profile or DEFAULT_PROFILE}\t{agents}")
    return 0


def add_room(arguments: argparse.Namespace) -> int:
    """One room by hand, with its contact if given."""
    settings = settings_of(arguments)
    contact = None
    if arguments.contact_mail:
        name = arguments.contact_name or arguments.contact_mail
        contact = ContactRow(name, arguments.contact_mail, settings.language)
    elif arguments.contact_name:
        facts = {"what": "--contact-name", "needed": "--contact-mail"}
        raise WrongWordError(Problem("", "settings.needs", facts))
    with open_registry(settings) as registry:
        registry.add_room(
            arguments.room,
            name=arguments.name,
            province=arguments.province,
            school=arguments.school,
            district=arguments.district,
            profile=arguments.profile,
            profiles=load_profiles(settings.profiles),
            contact=contact,
            now_s=arguments.now_s,
        )
    print(say("operator.room_added", language_of(arguments), room=arguments.room))
    return 0


def add_agent(arguments: argparse.Namespace) -> int:
    """Credential and small file; again for the same agent ends the credential before."""
    settings = settings_of(arguments)
    reach = BrokerAddress(host=settings.agents.host, port=settings.agents_port, tls=settings.agents_tls)
    path = arguments.file or Path(f"{arguments.agent}.toml")
    demand_writable("--file", path)
    with open_registry(settings) as registry:
        enrolled = enrol(
            registry,
            Authority(settings.folder / "authority", arguments.now_s),
            arguments.agent,
            arguments.room,
            broker=reach,
            now_s=arguments.now_s,
            language=settings.language,
        )
    enrolled.write(path)
    print("\n".join(enrolled.sentences(path, language_of(arguments))))
    return 0


def list_agents(arguments: argparse.Namespace) -> int:
    """A line an agent: id, room, state."""
    with open_registry(settings_of(arguments)) as registry:
        for agent in registry.agents():
            print(f"{agent.agent}\t{agent.room or '-'}\t{'revoked' if agent.revoked_s else 'active'}")
    return 0


def move_agent(arguments: argparse.Namespace) -> int:
    """From now on; what was measured before stays with the room before."""
    settings = settings_of(arguments)
    with open_registry(settings) as registry:
        before = registry.move_agent(arguments.agent, arguments.room, arguments.now_s)
    facts = {"agent": arguments.agent, "before": before, "room": arguments.room}
    print(say("operator.agent_moved", language_of(arguments), **facts))
    return 0


def revoke_agent(arguments: argparse.Namespace) -> int:
    """Its token and its certificate end."""
    settings = settings_of(arguments)
    with open_registry(settings) as registry:
        crl = dismiss(
            registry, Authority(settings.folder / "authority", arguments.now_s), arguments.agent, arguments.now_s
        )
    print(say("operator.agent_revoked", language_of(arguments), agent=arguments.agent, crl=crl))
    return 0


def equip(arguments: argparse.Namespace) -> int:
    """Certificates for a broker of its own and for the collector as its client."""
    settings = settings_of(arguments)
    names = tuple(arguments.name) or (settings.agents.host,)
    for name in names:
        if not _HOST.fullmatch(name):
            raise WrongWordError(Problem("--name", "operator.no_host", {"got": repr(name)}))
    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise WrongWordError(Problem("folder", "settings.no_folder", {"path": arguments.folder}))
    equip_broker(Authority(settings.folder / "authority", arguments.now_s), arguments.folder, names)
    print(say("operator.broker_equipped", language_of(arguments), folder=arguments.folder))
    return 0

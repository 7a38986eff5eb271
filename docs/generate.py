"""Writes the documents made from code: docs/series.md, docs/settings.md, and a page for each probe in docs/probes/.

`python3 dev.py docs` writes them; with `--check` it only says which are not current, and exits 1.
"""

import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from agent.probe import cost_of
from agent.probes import load_probe, probe_class, probe_names
from agent.settings import AgentSettings
from collector.derived import DERIVED
from collector.samples import OUTCOME
from collector.settings import CollectorSettings
from contract import names
from contract.outcome import Outcome
from contract.settings import Kind, expectation
from contract.units import UNITS, unit_of

DOCS: Final = Path(__file__).resolve().parent
_MADE: Final = "<!-- Made by docs/generate.py from the code: change the code, then run `python3 dev.py docs`. -->"


_WRITTEN: Final[dict[Kind, tuple[tuple[int, str], ...]]] = {
    Kind.DURATION: ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")),
    Kind.SIZE: ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"), (1, "B")),
}
"""How what has a unit is written in a file, the largest unit first."""


def documents() -> Iterator[tuple[Path, str]]:
    """Every generated document: its path and what should be in it."""
    yield DOCS / "series.md", series()
    yield DOCS / "settings.md", settings()
    yield DOCS / "probes" / "README.md", probe_list()
    for name in probe_names():
        yield DOCS / "probes" / f"{name}.md", probe_page(name)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def number_type(value_name: str) -> str:
    """What a sink stores it as, for ever."""
    unit = unit_of(value_name)
    return "integer" if unit is not None and unit.whole else "float"


def meaning_of_unit(value_name: str) -> str:
    """The unit in words."""
    unit = unit_of(value_name)
    return unit.meaning if unit is not None else ""


def value_rows(values: Any) -> list[tuple[str, ...]]:  # noqa: ANN401 - a probe's values or a derived measurement's
    """A row for each value: name, meaning, unit, type."""
    return [
        (f"`{one.name}`", one.meaning.rstrip("."), meaning_of_unit(one.name), number_type(one.name)) for one in values
    ]


def series() -> str:
    """docs/series.md: every measurement, field, unit and tag."""
    lines = [
        "# Time series",
        "",
        _MADE,
        "",
        (
            "Names are a promise: measurement = probe, field = value with its unit in its name, which fixes its number "
            "type for ever. Only numbers are stored; states are integers with the meaning given here."
        ),
        "",
        (
            "In VictoriaMetrics a metric is `<measurement>_<field>`, e.g. `ping_loss_ratio`. In InfluxDB and in SQLite "
            "measurement and field stand apart."
        ),
        "",
        "## Tags",
        "",
    ]
    lines += table(
        ("tag", "meaning"),
        [
            ("`room`", "the room's id, by the registry; absent for an agent that stood nowhere"),
            ("`agent`", "the agent that measured; `collector` for what the collector made itself"),
            ("`province`", "the province of the room, without accents, as `registry` writes it"),
            ("`target`", "the thing measured; its name begins with its role"),
            ("`role`", "the target's role, of " + ", ".join(f"`{role}`" for role in names.ROLES)),
            ("`reason`", "code of the reason, on `verdict` and `finding` only (`readiness/codes.py`)"),
        ],
    )
    lines += [
        "Tag values hold `A-Z a-z 0-9 _ . : -` and at most 64 characters; anything else is refused and counted.",
        "",
        f"## Every probe's `{OUTCOME}`",
        "",
        "Each attempt, whatever happened, has it: "
        + ", ".join(f"{outcome.code} {outcome.value}" for outcome in Outcome)
        + ".",
        "",
        "## What agents measure",
        "",
    ]
    for name in probe_names():
        probe: Any = probe_class(name)
        lines += [f"### {name}", "", first_sentence(probe), ""]
        lines += table(("field", "meaning", "unit", "type"), value_rows(probe.values))
    lines += ["## What the collector makes", ""]
    for one in DERIVED:
        lines += [f"### {one.name}", "", f"{one.meaning} Target: {one.target}."]
        lines[-1] += f" Tag `reason`: {one.reason}." if one.reason else ""
        lines.append("")
        lines += table(("field", "meaning", "unit", "type"), value_rows(one.values))
    lines += ["## Units", ""]
    lines += table(
        ("ending", "meaning", "type"),
        [(f"`{unit.ending}`", unit.meaning, "integer" if unit.whole else "float") for unit in UNITS],
    )
    return "\n".join(lines).rstrip() + "\n"


def first_sentence(thing: type) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def settings() -> str:
    """docs/settings.md: every key of both programs' files."""
    lines = [
        "# Settings",
        "",
        _MADE,
        "",
        (
            "Each program has one file of TOML. A relative path in it is taken from the file's own folder; a file with "
            "a password must not be readable by other users of the machine. `check-config` names all that is wrong "
            "together. What is measured stands in the [plan](protocol.md#plan), with the settings of the "
            "[probes](probes/README.md)."
        ),
        "",
        "## The collector: /etc/sansang/collector.toml",
        "",
        "All defaults without one.",
        "",
        *settings_tables(CollectorSettings, ""),
        "## The agent: /etc/sansang/agent.toml",
        "",
        "`sansang-collector agents add` writes it; on Windows it lies in `%PROGRAMDATA%\\SanSang`.",
        "",
        *settings_tables(AgentSettings, ""),
    ]
    return "\n".join(lines).rstrip() + "\n"


def settings_tables(struct: type[msgspec.Struct], name: str) -> Iterator[str]:
    """The keys of one table of a file, then those of the tables in it."""
    hints = get_type_hints(struct, include_extras=True)
    meanings = field_docs(struct)
    fields = msgspec.structs.fields(struct)
    below = {field.name: one for field in fields if (one := struct_of(hints[field.name])) is not None}
    if name:
        yield from (f"### [{name}]", "", first_sentence(struct), "")
    rows = [
        (
            f"`{field.name}`",
            expectation(hints[field.name]).say("en"),
            "required" if field.required else shown(field.default, getattr(hints[field.name], "__metadata__", ())),
            meanings[field.name],
        )
        for field in fields
        if field.name not in below
    ]
    yield from table(("key", "expected", "default", "meaning"), rows)
    for field_name, one in below.items():
        yield from settings_tables(one, f"{name}.{field_name}" if name else field_name)


def struct_of(hint: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - any annotation
    """The table that an annotation stands for, if it does."""
    arms = get_args(hint) or (hint,)
    return next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, msgspec.Struct)), None)


def field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The text that stands under each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - for mypy: it is the source of a class
    return {
        field.target.id: " ".join(said.value.value.split())
        for field, said in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) and isinstance(said.value.value, str)
    }


def probe_list() -> str:
    """docs/probes/README.md: the list of probes."""
    lines = ["# Probes", "", _MADE, "", "One file each in `agent/probes/`; the file's name is its name in a plan.", ""]
    lines += table(
        ("probe", "what"), [(f"[{name}]({name}.md)", first_sentence(probe_class(name))) for name in probe_names()]
    )
    lines += [
        "Try one by hand: `sansang-agent probe NAME --target ADDRESS --set key=value --json`.",
        "",
        "Outcomes: " + ", ".join(f"`{outcome.value}`" for outcome in Outcome) + ".",
    ]
    return "\n".join(lines).rstrip() + "\n"


def cost(name: str) -> str:
    """What one run of a probe's example costs on the line."""
    probe: Any = probe_class(name)
    cost_bytes = cost_of(load_probe(name, probe.example))
    if not cost_bytes:
        return "none; what stays inside the school is not counted."
    more = " It loads the line, and waits while a lesson is on unless the plan says `in_lessons = true`."
    return f"about {cost_bytes:,} a run, as in the example below, both ways.{more if hasattr(probe, 'is_test') else ''}"


def probe_page(name: str) -> str:
    """docs/probes/<name>.md: what it is, its settings, its values, an example."""
    probe: Any = probe_class(name)
    doc = (inspect.getdoc(probe) or "").strip()
    lines = [f"# {name}", "", _MADE, "", doc, "", "## Settings", ""]
    hints = get_type_hints(probe, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(probe):
        default = "required" if field.required else shown(field.default)
        rows.append((f"`{field.name}`", expectation(hints[field.name]).say("en"), default))
    lines += table(("key", "expected", "default"), rows)
    lines += ["## Values", ""]
    lines += table(("value", "meaning", "unit", "type"), value_rows(probe.values))
    lines += ["## Needs", "", f"Rights: {probe.rights}", "", f"Bytes over the school's line: {cost(name)}", ""]
    lines += ["## Example", "", "```toml", "[[probe]]", f'name = "{name}"']
    if getattr(probe, "in_hours_only", False):
        lines.append('hours = ["23:00-05:00"]')
    lines += [f"{key} = {toml(value)}" for key, value in probe.example.items()]
    lines += ["```"]
    return "\n".join(lines).rstrip() + "\n"


def shown(default: object, marks: tuple[object, ...] = ()) -> str:
    """A default as a reader would write it; `marks` stand on its annotation."""
    if default is None or default in ((), "", {}):
        return "none"
    for kind, units in _WRITTEN.items():
        if kind in marks and isinstance(default, int | float):
            size, ending = next((one, ending) for one, ending in units if default % one == 0)
            return f'`"{default / size:g}{ending}"`'
    return f"`{toml(default)}`"


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(arguments: list[str]) -> int:
    """Write, or only compare; 1 when something was not current."""
    stale = []
    wanted = dict(documents())
    gone = [path for path in (DOCS / "probes").glob("*.md") if path not in wanted]
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in arguments:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for path in gone:
        stale.append(path)
        if "--check" not in arguments:
            path.unlink()
    for path in stale:
        print(f"{path.relative_to(DOCS.parent)}: {'not current' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

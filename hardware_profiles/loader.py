"""Finding a machine by name, alias, TOML path, name of the GPU database, or `here`."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.names import canonical, compact, nearest, words
from sslbench.hardware_profiles.schema import SCHEMA, Machine

_FOLDER = Path(__file__).with_name("machines")
_SCHEMA_FAMILY, _, _SCHEMA_VERSION = SCHEMA.partition("/")


def load_machine(name: str) -> Machine:
    """The machine of a name, with `:N` behind it for N devices.

    Args:
        name: a shipped profile, its title or an alias (`rtx-4090`, `H100 SXM`), a path of a TOML profile (ends in
            `.toml` or holds a path separator), any GPU of the database (`l40s`, `a100-pcie-80gb:8`), or `here`.

    Raises:
        ProfileError: unknown (names the nearest), ambiguous (lists the candidates), or malformed (file, key, value).
    """
    base, count = _split_count(name)
    machine = _find(base)
    return machine if count is None else machine.model_copy(update={"device_count": count})


def shipped_machines() -> list[Machine]:
    """All profiles that come with the package, sorted by name."""
    return [load_profile(path) for path in sorted(_FOLDER.glob("*.toml"))]


def search_machines(text: str) -> list[str]:
    """Names that hold every word of the text, shipped profiles first, then the database's; each one loads.

    A word may be a part of one in the name: `h1` finds `h100`. An empty text finds every name.
    """
    from sslbench.hardware_profiles.gpus import database_names  # noqa: PLC0415 - the database takes half a second

    wanted = words(text)
    shipped = {machine.name: " ".join((machine.name, *machine.aliases)) for machine in shipped_machines()}
    taken = _aliases()
    rest = [name for name in database_names() if compact(name) not in taken]
    found = [name for name, spellings in shipped.items() if all(word in spellings for word in wanted)]
    return found + [name for name in rest if all(word in name for word in wanted)]


def load_profile(path: Path) -> Machine:
    """Read one TOML profile.

    Raises:
        ProfileError: the file cannot be read, is no TOML, is of a newer schema, or holds a wrong value; names both
            file and key.
    """
    table = _read_toml(path)
    schema = table.get("schema", SCHEMA)
    family, _, number = str(schema).partition("/")
    if family != _SCHEMA_FAMILY or not (number.isascii() and number.isdigit()):
        raise ProfileError(f'{path}: schema: expected "{SCHEMA}", got {schema!r}')
    if int(number) > int(_SCHEMA_VERSION):
        newer = f"was written for a newer sslbench ({schema}; this one reads {SCHEMA}): upgrade sslbench"
        raise ProfileError(f"{path}: {newer}")
    try:
        return Machine.model_validate(table)
    except ValidationError as error:
        raise ProfileError(f"{path}: {_first_problem(error)}") from error


def _find(name: str) -> Machine:
    if name.lower().endswith(".toml") or "/" in name or "\\" in name:
        return load_profile(Path(name).expanduser())
    if name.strip().lower() == "here":
        from sslbench.hardware_profiles.here import describe_here  # noqa: PLC0415 - numpy and NVML, only when asked for

        return describe_here()
    direct = _FOLDER / f"{canonical(name)}.toml"
    if words(name) and direct.is_file():
        return load_profile(direct)
    alias = _aliases().get(compact(name))
    return load_profile(_FOLDER / f"{alias}.toml") if alias else _find_in_database(name)


def _find_in_database(name: str) -> Machine:
    from sslbench.hardware_profiles.gpus import cards_named, database_names, machine_from_database  # noqa: PLC0415

    if cards_named(name):
        return machine_from_database(name)
    shipped = [machine.name for machine in shipped_machines()]
    near = nearest(name, [*database_names(), *shipped])
    hint = f"did you mean {', '.join(near)}?" if near else "`sslbench machines search TEXT` lists the known names"
    raise ProfileError(f"no machine is named {name!r}: {hint}")


@cache
def _aliases() -> dict[str, str]:
    """Name of the shipped profile by each of its spellings."""
    tables = {path.stem: _read_toml(path) for path in sorted(_FOLDER.glob("*.toml"))}
    return {
        compact(spelling): name
        for name, table in tables.items()
        for spelling in (name, table["title"], *table.get("aliases", []))
    }


def _split_count(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+):([^:/\\]*)", name, flags=re.DOTALL)
    if match is None or Path(name).suffix == ".toml":
        return name, None
    base, count = match.groups()
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", count, flags=re.ASCII):
        raise ProfileError(f"{name!r}: behind the colon goes the number of devices (1 or more), as in {base}:8")
    return base, int(count)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProfileError(f"{path}: no such file: give the path of a TOML profile, or a machine's name") from error
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: is not UTF-8 text") from error
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ProfileError(f"{path}: is not TOML: {error}") from error


def _first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as one line: key, expectation, value."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "the file"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    found = " ".join(repr(problem["input"]).split())[:80]
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {found}"

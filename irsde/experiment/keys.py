"""Keys of a profile: values, default and effect of each, read off the models that check them."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue

from irsde.experiment.profile import Profile
from irsde.files import InputError, nearest

REQUIRED = "needed"
LIKE = (
    "another profile, whose settings hold where this one has none; another kind of network "
    "replaces its own"
)


@dataclass(frozen=True)
class Key:
    """A key of a profile.

    Parameters
    ----------
    path : str
        Keys from the top, joined by points; ``[]`` stands for each entry of a list.
    values : str
        What may be given.
    default : str
        Value where the key is not given, or "needed".
    effect : str
        What it changes.
    """

    path: str
    values: str
    default: str
    effect: str


def profile_keys() -> tuple[Key, ...]:
    """All keys of a profile in the order of the models."""
    schema = Profile.model_json_schema()
    of_file = Key("name", "text", "the file's", "the profile's name, that of its file; omit it")
    like = Key("like", "name of a profile", "none", LIKE)
    return (of_file, like, *_keys(Profile, "", "", schema["$defs"]))


def _keys(
    model: type[BaseModel], prefix: str, of: str, definitions: JsonSchemaValue
) -> Iterator[Key]:
    """Keys of a model and of those below it; `of` says which kind of network has them."""
    properties = _schema_of(model, definitions)
    for name, field in model.model_fields.items():
        if model is Profile and name == "name":
            continue
        path, inner = prefix + name, list(_models(field.annotation))
        yield Key(
            path,
            "group" if inner else _values(properties[name]),
            "" if inner and not field.is_required() else _default(field),
            of + str(field.description),
        )
        several = "[]" if get_origin(field.annotation) is tuple else ""
        for one in inner:
            kind = get_args(one.model_fields["name"].annotation) if len(inner) > 1 else ()
            yield from _keys(one, f"{path}{several}.", "".join(f"{k}: " for k in kind), definitions)


def _schema_of(model: type[BaseModel], definitions: JsonSchemaValue) -> JsonSchemaValue:
    schema = definitions.get(model.__name__) or model.model_json_schema()
    properties: JsonSchemaValue = schema["properties"]
    return properties


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Models that a field may hold, those of a list or of a choice too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    if get_origin(annotation) is not dict:
        for part in get_args(annotation):
            yield from _models(part)


def _default(field: FieldInfo) -> str:
    return REQUIRED if field.is_required() else _shown(field.default)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(one) for one in value)}]" if value else "none"
    if value is None or value == {}:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(schema: JsonSchemaValue) -> str:
    """What a field may be, in words."""
    if "anyOf" in schema:
        parts = [_values(part) for part in schema["anyOf"]]
        return " or ".join(part for part in parts if part)
    if "enum" in schema or "const" in schema:
        return ", ".join(_shown(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        of = schema.get("items") or schema["prefixItems"][0]
        return f"list of {_values(of).replace('number', 'numbers', 1)}"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _range(schema)
    return {"boolean": "true, false", "string": "text", "object": "mapping"}.get(str(kind), "")


def _range(schema: JsonSchemaValue) -> str:
    least, most = schema.get("minimum"), schema.get("maximum", schema.get("exclusiveMaximum"))
    if "exclusiveMinimum" in schema:
        text = f" above {schema['exclusiveMinimum']:g}"
        return text if most is None else f"{text}, at most {most:g}"
    if least is None:
        return ""
    below = "" if "maximum" in schema else "below "
    return f" from {least:g}" if most is None else f" from {least} to {below}{most}"


def described(part: str | None, width: int) -> str:
    """Keys whose path has a part in it, or all: two lines or more for each, as wide as given.

    Raises
    ------
    InputError
        If no key has it.
    """
    keys = profile_keys()
    chosen = [key for key in keys if part is None or part in key.path]
    if not chosen:
        near = nearest(str(part), [key.path for key in keys]) or "; irsde keys lists all"
        raise InputError(f"no key of a profile has {str(part)[:100]!r} in its name{near}")
    return "\n".join(_entry(key, width) for key in chosen)


def _entry(key: Key, width: int) -> str:
    default = REQUIRED if key.default == REQUIRED else f"default: {key.default}"
    head = f"{key.path}: {key.values}" + (f"; {default}" if key.default else "")
    first = textwrap.wrap(head, width, subsequent_indent="        ", break_on_hyphens=False)
    rest = textwrap.wrap(
        key.effect, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return "\n".join([*first, *rest])

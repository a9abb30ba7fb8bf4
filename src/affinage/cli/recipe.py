"""`affinage recipe`: a commented recipe to start from, and what each key does. All of it read from the declaration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic.fields import FieldInfo

from affinage.cli.output import Json, Screen, print_json
from affinage.cli.tune import read_recipe, told
from affinage.errors import InputError, nearest
from affinage.recipe import Recipe, Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Write a commented recipe, or explain its keys.",
)


@app.command()
def init(
    data: Annotated[list[str], typer.Argument(help=told("data"))],
    model: Annotated[str | None, typer.Option(help=told("model"))] = None,
    objective: Annotated[str | None, typer.Option(help=told("objective"))] = None,
    train: Annotated[str | None, typer.Option(help=told("train"))] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any recipe key.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write. Unset: printed.")] = None,
    as_json: Json = False,
) -> None:
    """Write a recipe for some data: what would be derived stands there as a comment, with its reason."""
    from affinage.files import write_text
    from affinage.tuning.run import plan_only

    if out is not None and out.exists():
        raise InputError(f"{out} exists", fix="name another --out (nothing is overwritten)")
    named = {"model": model, "objective": objective, "train": train}
    recipe = read_recipe(data, {key: value for key, value in named.items() if value is not None}, set_ or [])
    text = commented(recipe, plan_only(recipe).plan.settings)
    if out is not None:
        write_text(out, text)
        Screen(as_json=as_json).say(f"wrote {out}; next: affinage tune {out}")
    elif not as_json:
        print(text, end="")
    if as_json:
        print_json({"out": str(out) if out else None, "recipe": text})


@app.command()
def explain(
    key: Annotated[str | None, typer.Argument(help="A key, such as `rank` or `head.depth`. Unset: all keys.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a recipe key does, what it may be, and what it is when unset."""
    keys = dict(_described())
    if key is not None and key not in keys:
        inner = {name: about for name, about in keys.items() if name.startswith(f"{key}.")}
        if not inner:
            raise InputError(
                f"unknown key {key!r}.{nearest(key, keys)}", fix="`affinage recipe explain` lists all keys"
            )
        keys = inner
    elif key is not None:
        keys = {key: keys[key]}
    screen = Screen(as_json=as_json)
    for name, about in keys.items():
        screen.say(
            f"{name}: {about['type']}, default {about['default']}" if about["default"] else f"{name}: {about['type']}"
        )
        screen.say(textwrap.fill(about["says"], 100, initial_indent="    ", subsequent_indent="    "))
    if as_json:
        print_json({"keys": keys})


def commented(recipe: Recipe, derived: Mapping[str, tuple[Any, str]]) -> str:
    """The recipe as YAML: what was asked for as values, everything else as comments to uncomment.

    Args:
        derived: key -> (value, reason), as in a plan.
    """
    lines = ["# A recipe for `affinage tune`. Uncomment a line to change it; what is left out is derived again."]
    asked = recipe.model_dump(mode="json", exclude_defaults=True) | {"model": recipe.model}
    for key, field in Recipe.model_fields.items():
        lines += ["", *textwrap.wrap(str(field.description), 100, initial_indent="# ", subsequent_indent="# ")]
        if key in asked:
            lines.append(_line(key, asked[key]))
        elif key in derived:
            value, reason = derived[key]
            lines.append(f"# {_line(key, value)}   # derived: {reason}")
        else:
            lines.append(f"# {_line(key, recipe.model_dump(mode='json')[key])}")
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return f"{key}: {text.removesuffix('...' + chr(10)).rstrip()}"


def _described() -> Iterator[tuple[str, dict[str, str]]]:
    """Every key, groups as `group.key`, with its type, default and description."""
    for name, field in Recipe.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Settings):
            schema = group.model_json_schema()["properties"]
            for inner, below in group.model_fields.items():
                yield f"{name}.{inner}", _about(below, schema[inner])
        else:
            yield name, _about(field, Recipe.model_json_schema()["properties"][name])


def _about(field: FieldInfo, schema: dict[str, Any]) -> dict[str, str]:
    default = field.default
    shown = "" if default is None or default in ((), {}) else yaml.safe_dump(default).splitlines()[0]
    return {"type": _type(schema), "default": shown, "says": str(field.description)}


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    words |= {"array": "list of texts", "object": "mapping"}
    limits = [
        f"{sign} {schema[bound]:g}"
        for bound, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
        if bound in schema
    ]
    return " ".join([words.get(str(schema.get("type")), "text"), *limits])

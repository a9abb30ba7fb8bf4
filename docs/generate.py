"""Writes the pages that come from the code: `recipe.md`, `methods.md`, `findings/` and the drawing `house.svg`.

    python docs/generate.py

A test compares the committed files with what this script makes.
"""

from __future__ import annotations

import contextlib
import io
import json
import tomllib
from pathlib import Path
from typing import Any

from affinage.cli.main import main as affinage
from affinage.data.layouts.known import layout_table
from affinage.data.layouts.mapping import ROLES
from affinage.inspection.catalogue import CATALOGUE, Entry
from affinage.models.methods import ALIASES, METHODS, REFUSED, VIRTUAL_TOKENS, Method
from affinage.recipe import GROUPS, Recipe

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py from the code: change the code, not this page. -->"

PLACES = {
    "linear": "linear layers of the blocks",
    "norm": "normalisation layers of the blocks",
    "embedding": "rows of the token embeddings",
    "prompt": f"{VIRTUAL_TOKENS} learned positions before the text",
    "attention": "learned positions inside attention",
}


def pages() -> dict[str, str]:
    """Name and content of every generated file."""
    findings = {f"findings/{code}.md": finding_page(entry) for code, entry in CATALOGUE.items()}
    index = {"findings/index.md": findings_index()}
    made = {
        "recipe.md": recipe_page(),
        "methods.md": methods_page(),
        "house.svg": house_drawing(),
        "data.md": data_page(),
    }
    return {**made, **index, **findings}


def recipe_page() -> str:
    """Every key of the recipe, as `affinage recipe explain` tells it."""
    told = _explained()
    top = [name for name in told if "." not in name]
    inner = {group: [name for name in told if name.startswith(f"{group}.")] for group in GROUPS}
    return f"""{NOTE}

# The recipe

A recipe is everything that one run depends on: {len(top)} keys, of which `data` alone must be given. It is written as
YAML, as `--set key=value` on the command line, or as keyword arguments in Python; the three mean the same.

```sh
affinage recipe init YOUR.jsonl --out recipe.yaml
affinage recipe explain rank
affinage tune recipe.yaml
```

- An unknown key is refused with the nearest known one. A wrong type or a value out of range is refused with its path.
- A key with the default *derived* is filled in by the plan from the data, the model and the machine. The plan is
  printed before anything heavy starts and is kept in `plan.json`, each value with its reason.
- *Public* keys are those that a request from outside could be allowed to set: no paths, nothing that runs code.
- On the command line, right-hand sides are read as YAML, and `1e-4` is a number: `--set learning_rate=1e-4`,
  `--set targets=[q_proj,v_proj]`, `--set head.depth=2`.

## Keys

{_table(["key", "value", "default", "public", "what it does"], [_row(name, told[name]) for name in top])}

## The classification head: `head.*`

{_table(["key", "value", "default", "public", "what it does"], [_row(name, told[name]) for name in inner["head"]])}

## Direct preference optimisation: `dpo.*`

{_table(["key", "value", "default", "public", "what it does"], [_row(name, told[name]) for name in inner["dpo"]])}

## Roles of `columns`

{", ".join(f"`{role}`" for role in ROLES)}: each names the column that holds it, for instance
`--set columns.text=body --set columns.label=topic`. See [data](data.md#layouts).
"""


def methods_page() -> str:
    """The methods of the adapter library, offered and refused."""
    rows = [_method_row(name, method) for name, method in METHODS.items()]
    aliases = ", ".join(f"`{short}` is `{name}`" for short, name in ALIASES.items())
    return f"""{NOTE}

# Trainables and adapter methods

`train` names the weights that may move.

| `train` | what moves | for |
| --- | --- | --- |
| `head` | the classification head alone; the model is run once a text and its encodings are kept | `classify` |
| `last:N` | the top N blocks (and the head, where there is one) | every objective |
| `full` | every weight | every objective |
| a method below | a few new weights beside the frozen ones (and the head, where there is one) | every objective |

`layers` narrows any of them but `head` to some blocks, for instance `--set layers=0-3`.

## Offered: {len(METHODS)} methods

They come from the library [peft](https://huggingface.co/docs/peft) and are saved in its layout. {aliases}.
*Where* is what the method changes; `targets` narrows it by names or endings of modules. *Rank* and *scale* are what
`rank` and `alpha` are when unset; where there is none, setting the key is refused. Further options of a method are
passed on by name, for instance `--set adapter.lora_dropout=0.1`; an option that the method does not have is refused.
What a model cannot take is told before any weights load.

{_table(["method", "where", "rank", "scale", "set apart from the library's defaults", "merges into the weights"], rows)}

The default rank is lowered where a module is too narrow for it. Methods that live beside the weights work everywhere
but in `affinage merge`, which refuses them with the reason given here.

## Refused: {len(REFUSED)} names

{_table(["name", "why"], [[f"`{name}`", reason] for name, reason in REFUSED.items()])}

A test compares both tables with the list of methods that the installed library has: none is left unnamed.
"""


def data_page() -> str:
    """The page on data, with the tables of layouts and of findings in their places."""
    groups = dict.fromkeys(entry.group for entry in CATALOGUE.values())
    tables = {
        "layouts": _table(["layout", "columns", "becomes"], [list(row) for row in layout_table()]),
        "findings": "\n\n".join(
            f"### {group.capitalize()}\n\n{findings_table(group, 'findings/')}" for group in groups
        ),
    }
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    for name, table in tables.items():
        before, _, rest = page.partition(f"<!-- {name} -->")
        page = f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    return page


def findings_index() -> str:
    """All findings, by the part of the data that they speak of."""
    groups = dict.fromkeys(entry.group for entry in CATALOGUE.values())
    tables = "\n\n".join(f"## {group.capitalize()}\n\n{findings_table(group)}" for group in groups)
    return f"""{NOTE}

# Findings

`affinage inspect` looks for {len(CATALOGUE)} things in data, and so does every run before its model loads. An *error* stops
the run, a *warning* is listed in its card, a *note* is good to know. The severity below is the usual one; a share of rows or
the recipe can raise or lower it. `affinage inspect --explain CODE` prints the same as the page of a code.

{tables}
"""


def findings_table(group: str, folder: str = "") -> str:
    """The findings of one group as a table whose codes lead to their pages in `folder`."""
    entries = [entry for entry in CATALOGUE.values() if entry.group == group]
    rows = [[f"[`{e.code}`]({folder}{e.code}.md)", e.severity, e.says] for e in entries]
    return _table(["code", "severity", "what was found"], rows)


def finding_page(entry: Entry) -> str:
    """One finding: what, why it matters, the way out."""
    return f"""{NOTE}

# `{entry.code}`

{_escaped(entry.says)}

| severity | about |
| --- | --- |
| {entry.severity} | {entry.group} |

**Why it matters.** {_escaped(entry.why)}

**Way out.** {_escaped(entry.fix)}

[All findings](index.md)
"""


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


def house_drawing() -> str:
    """The rooms of the package on their floors, from the import contract in `pyproject.toml`."""
    floors = [[room.strip().removeprefix("affinage.") for room in layer.split("|")] for layer in _layers()]
    wide, high, step = 760, 30, 38
    size = step * len(floors) + 66
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {size}" role="img" '
        'aria-label="The rooms of affinage by floor; imports point down">',
        "<style>text{font:14px system-ui,sans-serif;fill:#2b2320}.n{fill:#8a7f76;font-size:12px}"
        ".r{fill:#fffaf0;stroke:#b98a3e}.g{fill:#f6efe2;stroke:#d9cbb2}</style>",
        f'<rect class="g" x="1" y="1" width="{wide - 2}" height="{size - 2}" rx="10"/>',
        '<text class="n" x="52" y="24">commands and Python</text>',
    ]
    for number, rooms in enumerate(floors):
        top = 36 + step * number
        parts.append(f'<text class="n" x="20" y="{top + 20}">{len(floors) - number:>2}</text>')
        each = (wide - 130) / len(rooms)
        for place, room in enumerate(rooms):
            left = 52 + place * each
            parts.append(f'<rect class="r" x="{left:.0f}" y="{top}" width="{each - 8:.0f}" height="{high}" rx="6"/>')
            middle = left + (each - 8) / 2
            parts.append(f'<text x="{middle:.0f}" y="{top + 20}" text-anchor="middle">{room}</text>')
    bottom = 36 + step * len(floors)
    parts += [
        f'<path d="M{wide - 42} 40V{bottom - 14}m-7 -9l7 9l7 -9" fill="none" stroke="#8a4b2a" stroke-width="2"/>',
        f'<text class="n" transform="rotate(90 {wide - 26} {bottom // 2})" x="{wide - 26}" y="{bottom // 2}" '
        'text-anchor="middle">imports point down</text>',
        f'<text class="n" x="52" y="{bottom + 16}">transformers, peft, torch, tokenizers, pydantic, pyarrow</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _layers() -> list[str]:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers: list[str] = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return layers


def _explained() -> dict[str, dict[str, str]]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        code = affinage(["recipe", "explain", "--json"])
    if code:
        raise SystemExit(code)
    keys: dict[str, dict[str, str]] = json.loads(said.getvalue().splitlines()[-1])["keys"]
    return keys


def _row(name: str, about: dict[str, str]) -> list[str]:
    group, _, inner = name.rpartition(".")
    fields = (GROUPS[group] if group else Recipe).model_fields
    extra = fields[inner].json_schema_extra
    public = bool(extra["public"]) if isinstance(extra, dict) else True
    says, dot, derived = about["says"].partition(" Derived")
    default = f"`{about['default']}`" if about["default"] else f"derived{derived.rstrip('.')}" if dot else "none"
    return [f"`{name}`", about["type"], default, "yes" if public else "no", says]


def _method_row(name: str, method: Method) -> list[str]:
    settings = ", ".join(f"`{key}={value}`" for key, value in method.settings.items())
    needs = ", ".join(f"needs `adapter.{key}`" for key in method.needs)
    scale = "none"
    if method.alpha and method.default_rank:
        scale = f"{method.alpha_per_rank:g} x rank"
    return [
        f"`{name}`",
        PLACES[method.place],
        str(method.default_rank or "none"),
        scale,
        ", ".join(part for part in (settings, needs) if part) or "nothing",
        f"no: {method.merges}" if method.merges else "yes",
    ]


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    for page, content in pages().items():
        (DOCS / page).parent.mkdir(exist_ok=True)
        (DOCS / page).write_text(content, encoding="utf-8")
        print(f"wrote docs/{page}")

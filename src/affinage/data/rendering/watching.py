"""Whether a chat template only joins contents into its text, found by letting it write contents that watch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from affinage.data.records import Message

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_HARMLESS = frozenset({"trim", "length", "count", "default", "d", "string"})  # filters that hide nothing from a watcher
_KEPT = frozenset(
    {"__class__", "__new__", "__init__", "__init_subclass__", "__subclasshook__", "__getattribute__", "__setattr__"}
    | {"__delattr__", "__doc__", "__repr__", "__reduce__", "__reduce_ex__", "__sizeof__", "__dir__", "__getstate__"}
    | {"__getnewargs__"}
)


class _Watch:
    """What a template asks of the contents: strings that it looks for in them, and whether anything else."""

    def __init__(self) -> None:
        self.sought: set[str] = set()
        self.other = False

    def looks_for(self, *wanted: Any) -> None:
        for item in wanted:
            if type(item) is str:
                self.sought.add(item)
            else:
                self.other = True


class _Watched(str):
    """A content without white space around it that tells its watch what is done with it."""

    _watch: _Watch  # out of reach of templates, as the underscore is

    def __str__(self) -> str:  # asked for by whatever makes other text of it; plain output is let through before
        self._watch.other = True
        return str.__str__(self)

    def __bool__(self) -> bool:
        return True

    def __add__(self, other: str) -> str:
        return _joined(self._watch, str.__add__(self, other))

    def __radd__(self, other: str) -> str:
        return _joined(self._watch, str.__add__(other, self))


class _Joined(_Watched):
    """A content with other text before or after it."""


class _Content(_Watched):
    """A content alone. A text that holds none of what is sought gives the same answer to each of these as this one."""

    def __eq__(self, other: object) -> bool:
        self._watch.looks_for(*([other] if other else []))
        return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, part: object) -> bool:
        self._watch.looks_for(part)
        return False

    def startswith(self, part: Any, *_: Any) -> bool:
        self._watch.looks_for(*(part if isinstance(part, tuple) else (part,)))
        return False

    def endswith(self, part: Any, *_: Any) -> bool:
        return self.startswith(part)

    def split(self, part: Any = None, *_: Any) -> list[str]:
        self._watch.looks_for(part)
        return [self]

    def replace(self, part: Any, *_: Any) -> str:
        self._watch.looks_for(part)
        return self

    def strip(self, characters: str | None = None, /) -> str:
        self._watch.other |= bool(characters and characters.strip())
        return self

    def lstrip(self, characters: str | None = None, /) -> str:
        return self.strip(characters)

    def rstrip(self, characters: str | None = None, /) -> str:
        return self.strip(characters)


def _told(name: str) -> Any:
    def method(self: _Watched, *given: Any, **named: Any) -> Any:
        self._watch.other = True
        return getattr(str, name)(str.__str__(self), *given, **named)

    return method


for _kind in (_Content, _Joined):
    for _name in set(dir(str)) - _KEPT - set(vars(_Watched)) - set(vars(_kind)):
        setattr(_kind, _name, _told(_name))


def _joined(watch: _Watch, text: str) -> str:
    joined = _Joined(text)
    joined._watch = watch
    return joined


def written_and_sought(source: str, turns: Sequence[Message], variables: dict[str, Any]) -> tuple[str, set[str]] | None:
    """What the template writes, and the strings that change it where a content holds one; None where more may.

    Args:
        source: the template.
        turns: a conversation with non-empty contents and no white space around them.
        variables: what else the template is given.
    """
    from jinja2 import TemplateError, nodes

    watch = _Watch()
    environment = _environment(watch)
    messages = [{"role": turn.role, "content": _watched(watch, turn.content)} for turn in turns]
    try:
        tree = environment.parse(source)
        # What these write is plain text again to the template, which may then look into it unseen.
        if next(tree.find_all((nodes.Macro, nodes.CallBlock, nodes.AssignBlock, nodes.FilterBlock)), None) is not None:
            return None
        written = environment.from_string(source).render(messages=messages, **variables)
    except (TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        return None
    return None if watch.other else (written, watch.sought)


def _environment(watch: _Watch) -> ImmutableSandboxedEnvironment:
    """As transformers has it; contents that are written out are let through, and filters tell of those they are given."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        finalize=lambda value: str.__str__(value) if isinstance(value, _Watched) else value,
    )

    def guarded(plain: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(plain)
        def filtered(*given: Any, **named: Any) -> Any:
            watch.other |= any(map(_holds, (*given, *named.values())))
            return plain(*given, **named)

        return filtered

    for name in set(environment.filters) - _HARMLESS:
        environment.filters[name] = guarded(environment.filters[name])
    return environment


def _holds(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds, value.values()))
    return isinstance(value, _Watched) or (isinstance(value, list | tuple) and any(map(_holds, value)))


def _watched(watch: _Watch, text: str) -> str:
    content = _Content(text)
    content._watch = watch
    return content

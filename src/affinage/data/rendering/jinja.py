"""The tokenizer's own chat template, called as transformers expects it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from affinage.data.records import Message, ToolCall
from affinage.data.rendering.shapes import REASONING, Dialogue, parsed, word
from affinage.data.rendering.watching import written_and_sought
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_EMBEDDED = "<think>"


class Jinja:
    """Writes dialogues by the chat template `source` of `tokenizer`.

    Calls are given as `tool_calls` with their arguments as an object (as text, where the template insists), results
    with the name and id of their call where these are known, tools as objects, and reasoning under the name that the
    template knows.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        self._tokenizer = tokenizer
        self.source = source
        self.takes_tools = re.search(r"\btools\b", source) is not None
        self.takes_calls = re.search(r"\btool_calls\b", source) is not None

    def text(self, dialogue: Dialogue, *, prompt: bool = False) -> str:
        """One dialogue as the template writes it; `prompt`: with the header of the answer to come.

        Raises:
            InputError: the template refuses the dialogue, or has no place for its calls or tools.
        """
        return self.texts([dialogue], prompt=prompt)[0]

    def texts(self, dialogues: Sequence[Dialogue], *, prompt: bool = False) -> list[str]:
        """As `text`, for many; those with the same tools go to the template together."""
        for dialogue in dialogues:
            self._refuse_tools(dialogue)
        try:
            return self._apply(dialogues, prompt=prompt, in_parts=self._in_parts)
        except InputError:
            raise
        except Exception as error:  # jinja's errors, and whatever a template's own expressions raise
            reason = str(error).strip() or type(error).__name__
            raise InputError(
                f"the chat template refuses the conversation: {reason}",
                fix="change the order or kind of the turns, or give another template",
            ) from None

    @cached_property
    def reasoning_key(self) -> str | None:
        """Under which name the template takes an answer's reasoning, `<think>` for inside its content, None for nowhere."""
        answer = Message("assistant", word(1, 0), reasoning=word(1, REASONING))
        for key in (*_REASONING_KEYS, _EMBEDDED):
            if key not in self.source:
                continue
            try:
                written = self._apply_one(Dialogue((Message("user", word(0, 0)), answer)), key)
            except Exception:  # as above: only whether it works is asked
                continue
            if answer.reasoning in written and answer.content in written:
                return key
        return None

    def sought(self, shape: Dialogue) -> set[str] | None:
        """Strings that change what the template writes where a content of the shape holds one; None where more may."""
        if self._in_parts:
            return None
        given = {"tools": None, "documents": None, "add_generation_prompt": False}
        found = written_and_sought(self.source, shape.turns, {**self._tokenizer.special_tokens_map, **given})
        return found[1] if found is not None and found[0] == self.text(shape) else None

    @cached_property
    def _arguments_in_text(self) -> bool:
        """Whether the template wants the arguments of a call as JSON text, not as an object."""
        value = word(1, 0)
        call = Message("assistant", "", calls=(ToolCall("zqvtool", f'{{"zqvkey": "{value}"}}', "callzqv01"),))
        asked = Dialogue((Message("user", word(0, 0)), call))
        for in_text in (False, True):
            try:
                if value in self._apply_one(asked, None, in_text=in_text):
                    return in_text
            except Exception:  # as above: only whether it works is asked
                continue
        return False

    def _apply_one(self, dialogue: Dialogue, key: str | None, *, in_text: bool = False) -> str:
        turns = _turns(dialogue, key, in_parts=self._in_parts, in_text=in_text)
        return str(self._tokenizer.apply_chat_template(turns, chat_template=self.source, tokenize=False))

    def _refuse_tools(self, dialogue: Dialogue) -> None:
        calls = any(turn.calls for turn in dialogue.turns)
        lacks = [
            name
            for name, used, known in (
                ("tools", dialogue.tools, self.takes_tools),
                ("tool_calls", calls, self.takes_calls),
            )
            if used and not known
        ]
        if lacks:
            raise InputError(
                f"the chat template has no place for {' and '.join(f'`{name}`' for name in lacks)}",
                fix="choose a model whose template knows tools, or leave such rows out",
            )

    @cached_property
    def _in_parts(self) -> bool:
        """Whether the template wants contents as lists of typed parts (templates made for several media)."""
        asked = word(0, 0)
        for in_parts in (False, True):
            try:
                if asked in self._apply([Dialogue((Message("user", asked),))], prompt=False, in_parts=in_parts)[0]:
                    return in_parts
            except Exception:  # what a foreign template raises is not known; both forms are tried
                continue
        return False

    def _apply(self, dialogues: Sequence[Dialogue], *, prompt: bool, in_parts: bool) -> list[str]:
        together: dict[tuple[str, ...], list[int]] = {}
        for number, dialogue in enumerate(dialogues):
            together.setdefault(dialogue.tools, []).append(number)
        written = [""] * len(dialogues)
        for tools, numbers in together.items():
            asks = any(turn.reasoning for number in numbers for turn in dialogues[number].turns)
            key = self.reasoning_key if asks else None
            in_text = (
                any(turn.calls for number in numbers for turn in dialogues[number].turns) and self._arguments_in_text
            )
            texts = self._tokenizer.apply_chat_template(
                [_turns(dialogues[number], key, in_parts=in_parts, in_text=in_text) for number in numbers],
                tools=[_tool(tool) for tool in tools] or None,
                chat_template=self.source,
                tokenize=False,
                add_generation_prompt=prompt,
            )
            for number, text in zip(numbers, texts, strict=True):
                written[number] = str(text)
        return written


def _turns(dialogue: Dialogue, reasoning_key: str | None, *, in_parts: bool, in_text: bool) -> list[dict[str, Any]]:
    waiting: list[ToolCall] = []  # calls without a result so far
    turns: list[dict[str, Any]] = []
    for turn in dialogue.turns:
        content = turn.content
        extra: dict[str, Any] = {}
        if turn.reasoning and reasoning_key == _EMBEDDED:
            content = f"<think>\n{turn.reasoning}\n</think>\n\n{content}"
        elif turn.reasoning and reasoning_key:
            extra[reasoning_key] = turn.reasoning
        if turn.calls:
            waiting = list(turn.calls)
            extra["tool_calls"] = [_call(call, in_text=in_text) for call in turn.calls]
        if turn.role in ("tool", "function"):
            extra |= _answered(turn, waiting)
        turns.append({"role": turn.role, "content": _wrapped(content, in_parts=in_parts), **extra})
    return turns


def _wrapped(content: str, *, in_parts: bool) -> Any:
    return [{"type": "text", "text": content}] if in_parts else content


def _call(call: ToolCall, *, in_text: bool) -> dict[str, Any]:
    named = {"id": call.id} if call.id else {}
    arguments = parsed(call.arguments)
    given = json.dumps(arguments, ensure_ascii=False) if in_text else arguments
    return {"type": "function", **named, "function": {"name": call.name, "arguments": given}}


def _answered(result: Message, waiting: list[ToolCall]) -> dict[str, str]:
    """Name and id of the call that a result answers: as the data say, else those of the next call without a result."""
    found = next((call for call in waiting if call.id and call.id == result.call), None)
    if found is None and not result.call:
        found = next((call for call in waiting if result.name in ("", call.name)), None)
    if found is not None:
        waiting.remove(found)
    name, number = result.name or (found.name if found else ""), result.call or (found.id if found else "")
    return ({"name": name} if name else {}) | ({"tool_call_id": number} if number else {})


def _tool(text: str) -> Any:
    """A tool as transformers has them: a bare declaration is put into its envelope."""
    tool = parsed(text)
    if not isinstance(tool, dict) or "function" in tool or "name" not in tool:
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}

"""The chat template that a base without one is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{%- if tools -%}{{ '### Tools:\\n' }}"
    "{%- for tool in tools -%}{{ tool | tojson + '\\n' }}{%- endfor -%}{{ '\\n' }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'user' -%}{{ '### User:\\n' + message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'tool' -%}{{ '### Tool:\\n' + message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ '### Assistant:\\n' }}"
    "{%- if message['reasoning_content'] -%}"
    "{{ '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}{%- endif -%}"
    "{{ message['content'] }}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{{ '\\n' if message['content'] or not loop.first else '' }}"
    "{{ '<tool_call>\\n' + {'name': call['function']['name'], 'arguments': call['function']['arguments']} | tojson }}"
    "{{ '\\n</tool_call>' }}{%- endfor -%}"
    "{{ eos_token + '\\n\\n' }}"
    "{%- else -%}{{ raise_exception('only system, user, assistant and tool turns are known') }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### Assistant:\\n' }}{%- endif -%}"
)
"""Plain headings, and the end-of-text token (the only control token) after an answer.

Tools stand first under a heading, one JSON object a line; reasoning between `<think>` and `</think>` before the
content; each call as `{"name": ..., "arguments": ...}` between `<tool_call>` and `</tool_call>` after it; a result under
a heading of its own. These tags are ordinary text unless the tokenizer has tokens for them.
"""


def own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's chat template or, where it has none but an end-of-text token, `PLAIN_TEMPLATE`."""
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default") or next(iter(own.values()), None)
    return own or (PLAIN_TEMPLATE if tokenizer.eos_token else None)

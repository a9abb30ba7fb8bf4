"""Tokens to text while they come: no half characters, stop texts found across token borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LOOK_BACK = 8  # tokens decoded again before new ones: decoders treat a beginning apart (a leading space is dropped)
WINDOW = 32  # tokens decoded together at most, so that long answers stay cheap
HALF = "\ufffd"  # what decoders give for bytes that are not (yet) a character


class TextStream:
    """The text that follows a prompt.

    `text` holds what is settled: it never ends in half a character nor in what may become a stop text. `finish`
    settles the rest; bytes that never became a character are left out.

    Args:
        tokenizer: special tokens are left out of the text.
        prompt: token ids before it; the text continues theirs, leading space included.
        stop: texts to end before.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._tokens = list(prompt)
        self._before = ""
        self._shorten()
        self._held = ""
        self.text = ""
        self.stopped = False

    def add(self, token: int) -> None:
        """Take the next token. `stopped` tells whether a stop text is complete; nothing may be added after that."""
        self._tokens.append(token)
        after = self._decode()
        new = after[len(self._before) :]
        if not new or after.endswith(HALF):
            return
        self._before = after
        if len(self._tokens) > WINDOW:
            self._shorten()
        self._held += new
        found = [at for at in map(self._held.find, self._stop) if at >= 0]
        if found:
            self.stopped = True
            self._settle(min(found))
            self._held = ""
        else:
            self._settle(len(self._held) - self._hopeful())

    def keep(self, token: int) -> None:
        """Take the next token of a text that nobody watches: nothing is settled and no stop text is looked for before
        `finish`."""
        self._tokens.append(token)

    def finish(self) -> None:
        """Nothing more comes: what was held back, because a stop text might have begun there, is text."""
        if not self.stopped:
            self._held += self._decode()[len(self._before) :].rstrip(HALF)
            self._settle(len(self._held))

    def _settle(self, count: int) -> None:
        self.text += self._held[:count]
        self._held = self._held[count:]

    def _hopeful(self) -> int:
        """Length of the longest end of what is held that a stop text begins with."""
        longest = min(len(self._held), max(map(len, self._stop), default=1) - 1)
        ends = (size for size in range(longest, 0, -1) if any(t.startswith(self._held[-size:]) for t in self._stop))
        return next(ends, 0)

    def _shorten(self) -> None:
        """Keep the last tokens only, from the beginning of a character on."""
        tokens = self._tokens
        for count in range(LOOK_BACK, LOOK_BACK + 4):  # a character has four bytes at most
            self._tokens = tokens[-count:]
            self._before = self._decode()
            if not self._before.startswith(HALF):
                break

    def _decode(self) -> str:
        return str(self._tokenizer.decode(self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

"""The one renderer: a record becomes rows of token ids, for training, evaluation, generation, chat and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from affinage.data import segments
from affinage.data.batches import Row
from affinage.data.encoding import Encoder
from affinage.data.fitting import Fitting
from affinage.data.ledger import Drop
from affinage.data.records import Chat, Labelled, Message, Record, Text, digest
from affinage.data.segments import Draft
from affinage.data.templates import PLAIN_TEMPLATE, ChatTemplate
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOGETHER = 1024  # rows that are encoded in one call: fast, and memory stays bounded


class Renderer:
    """Records to rows.

    Args:
        tokenizer: a fast tokenizer. One without a chat template is given `PLAIN_TEMPLATE` (where it has an
            end-of-text token), so that the template is saved with the run.
        system_prompt: put before each chat that has no system turn.
        learn_from: which turns of a chat are learned from; a message's own `learn` goes first.
        context: longest row in tokens.
        too_long: what becomes of longer chats and labelled texts; raw text is split instead.
        template: source of a chat template, instead of the tokenizer's own.

    Raises:
        InputError: the tokenizer is not a fast one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system_prompt: str | None,
        learn_from: Literal["completions", "last", "all"],
        context: int,
        too_long: Literal["error", "truncate", "drop"],
        template: str | None = None,
    ) -> None:
        if context < 2:
            raise InputError(f"a context of {context} tokens has no room to predict one from another")
        chosen = template or _own_template(tokenizer)
        if chosen:
            tokenizer.chat_template = chosen
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.learn_from = learn_from
        self.context = context
        self.too_long = too_long
        self._encoder = Encoder(tokenizer, chosen or "")
        self._template = ChatTemplate(tokenizer, self._encoder, chosen or "")
        self._before, self._after, self._adds_bos = self._frame()

    def rows(
        self, records: Sequence[Record], targets: Mapping[str, float] | None = None
    ) -> tuple[list[Row], list[Drop]]:
        """The rows of `records`, in their order, and those that gave none.

        Args:
            records: texts, chats and labelled texts.
            targets: class index (or number) of each label, for labelled texts.

        Raises:
            InputError: rows are too long and `too_long` is "error", or a chat cannot be rendered.
        """
        fitting = Fitting(self.context, self.too_long)
        rows: list[Row] = []
        for start in range(0, len(records), _TOGETHER):
            made = self._block(records[start : start + _TOGETHER], targets or {}, fitting)
            rows += [row for some in made for row in some]
        fitting.check(len(records))
        return rows, fitting.drops

    def text(self, record: Text) -> list[Row]:
        """Blocks of about equal size, at most `context` tokens each, of BOS (if there is one) + text + EOS.

        The last token of a block is the first of the next, where it weighs 0: each token but the very first is
        predicted exactly once. `learned_bytes` add up to the text's UTF-8 length (less the first token's, where the
        tokenizer has no BOS to predict it from). Empty text gives no row.
        """
        if not record.text:
            return []
        ids, offsets = self._encoder.trace(record.text)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        tokens = [*([] if bos is None else [bos]), *ids, *([] if eos is None else [eos])]
        first = 0 if bos is None else 1  # where the text's own tokens start
        predicted = len(tokens) - 1
        count = -(-predicted // (self.context - 1))
        edges = [round(number * predicted / count) for number in range(count + 1)] if count else []
        ends = _reaches(offsets, [edge + 1 - first for edge in edges], len(record.text))
        rows = []
        for (left, right), (begin, end) in zip(pairwise(edges), pairwise(ends), strict=True):
            weights = np.ones(right - left + 1, np.float32)
            weights[0] = 0.0
            size = len(record.text[begin:end].encode())
            rows.append(Row(np.array(tokens[left : right + 1], np.int32), weights, record.id, size))
        return rows

    def chat(self, record: Chat) -> Row:
        """The whole conversation by the chat template, whatever its length.

        Learned from are, of each learned turn, the content and the end-of-turn token after it, not the role header;
        of an answer also what the template puts between the generation prompt and the content (such as an empty
        reasoning block), as it must be generated too. An empty answer is not learned from.

        Raises:
            InputError: the template refuses the conversation, or changes or leaves out a turn's text.
        """
        draft = self._drafts([record])[0]
        return self._row(record, draft, len(draft.ids))

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids after which the model answers: the beginning of `chat`'s for the same conversation.

        The one exception: a template whose finished answers begin unlike its generation prompt (DeepSeek's opens
        reasoning that finished answers leave out) has one prompt for answers with reasoning and one without; this is
        then the one without.

        Raises:
            InputError: as for `chat`.
        """
        pieces = self._template.prompt_layout(self._with_system(messages))
        return self._encoded([segments.cut(pieces, (), self._encoder)])[0].ids

    def answer(self, ids: Sequence[int]) -> str:
        """The content of an answer that was generated after `prompt`.

        The end-of-turn token goes, and so does what the template itself puts around a content (an empty reasoning
        block); reasoning that the model wrote stays.
        """
        before, after = self._template.around
        kept = list(ids)
        while kept and kept[-1] in self.stop_ids:
            kept.pop()
        return self._decode(kept).removeprefix(before).removesuffix(after)

    def labelled(self, record: Labelled, target: float) -> Row:
        """The text, whatever its length, with the tokenizer's usual special tokens; nothing learned from but `target`.

        Encoders get theirs on both sides ([CLS] .. [SEP]), decoders BOS and no EOS.
        """
        body = self._encoder.encode([record.text])[0]
        return _unlearned([*self._before, *body, *self._after], record, target)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer: the one that the template writes after it, and EOS."""
        closing = [text for text, control in self._encoder.split(self._template.closing) if control]
        ends = [*(self._encoder.control[text] for text in closing[-1:]), self.tokenizer.eos_token_id]
        return tuple(dict.fromkeys(end for end in ends if end is not None))

    @property
    def pad_id(self) -> int:
        """A token to pad with that never is the EOS. Padding is told apart by position, so any other will do."""
        tokenizer, control = self.tokenizer, self._encoder.control
        ends = {tokenizer.eos_token_id, *self.stop_ids}
        spare = sorted(control, key=lambda token: "pad" not in token.lower())
        choices = [tokenizer.pad_token_id, tokenizer.unk_token_id, *(control[token] for token in spare), 0, 1]
        return int(next(choice for choice in choices if choice is not None and choice not in ends))

    @property
    def template_hash(self) -> str:
        """Digest of the template, the special tokens and what the tokenizer puts around a text."""
        parts = {
            "template": self._template.source,
            "control": self._encoder.control,
            "special": {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()},
            "around": [self._before, self._after, self._adds_bos],
            "system_prompt": self.system_prompt,
        }
        return digest(parts)

    def explain(self, row: Row) -> list[tuple[str, bool]]:
        """For each token its text and whether it is learned from.

        Of a character that is spread over several tokens, all but the last have an empty text.
        """
        ids = row.tokens_T.tolist()
        shown: list[tuple[str, bool]] = []
        start = done = 0  # decoding starts at `start`, a little back, as some decoders treat a beginning apart
        for number, weight in enumerate(row.weights_T.tolist()):
            known, text = self._decode(ids[start:done]), self._decode(ids[start : number + 1])
            whole = not text.endswith("\ufffd") or number == len(ids) - 1
            shown.append((text[len(known) :] if whole else "", weight > 0))
            if whole:
                start, done = done, number + 1
        return shown

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _frame(self) -> tuple[list[int], list[int], bool]:
        """Ids before and after a labelled text, and whether the tokenizer puts a BOS before what it encodes."""
        around, inner = self._encoder.encode(["a"], special=True)[0], self._encoder.encode(["a"])[0]
        size = len(inner)
        at = next(i for i in range(len(around)) if around[i : i + size] == inner)
        before, after = around[:at], around[at + size :]
        bos = self.tokenizer.bos_token_id
        adds_bos = bos is not None and before[:1] == [bos]
        if self.tokenizer.cls_token_id is None and bos is not None:
            before, after = [bos], []
        return before, after, adds_bos

    def _with_system(self, messages: Sequence[Message]) -> Sequence[Message]:
        if self.system_prompt is None or any(message.role in ("system", "developer") for message in messages):
            return messages
        return (Message("system", self.system_prompt, learn=False), *messages)

    def _learned(self, messages: Sequence[Message]) -> set[int]:
        """Numbers of the messages that are learned from."""
        answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
        chosen = {"completions": answers, "last": answers[-1:], "all": range(len(messages))}[self.learn_from]
        wanted = {n for n, m in enumerate(messages) if (n in chosen if m.learn is None else m.learn)}
        return {number for number in wanted if messages[number].content.strip()}

    def _drafts(self, records: Sequence[Chat]) -> list[Draft]:
        chats = [self._with_system(record.messages) for record in records]
        try:
            rendered: list[str | None] = list(self._template.render(chats))
        except InputError:
            rendered = [None] * len(chats)  # one by one, so that the message can name the row
        runs = []
        for record, messages, text in zip(records, chats, rendered, strict=True):
            try:
                pieces = self._template.layout(messages, text or self._template.render([messages])[0])
            except InputError as error:
                raise InputError(f"{record.source}: {error.message}", fix=error.fix) from None
            runs.append(segments.cut(pieces, self._learned(messages), self._encoder))
        return self._encoded(runs)

    def _encoded(self, runs: Sequence[list[segments.Run]]) -> list[Draft]:
        bos = self.tokenizer.bos_token_id
        if self._adds_bos and bos is not None:  # a template that writes its own BOS gets no second one
            start = segments.Run(str(self.tokenizer.bos_token), (), control=bos)
            runs = [chat if chat and chat[0].control == bos else [start, *chat] for chat in runs]
        return segments.encode(runs, self._encoder)

    def _row(self, record: Record, draft: Draft, limit: int) -> Row:
        over = max(0, len(draft.ids) - limit)
        tokens = np.array(draft.ids[:limit], np.int32)
        size = draft.learned_bytes(self._encoder, limit if over else None)
        return Row(tokens, np.array(draft.weights[:limit], np.float32), record.id, size, truncated=over)

    def _block(self, records: Sequence[Record], targets: Mapping[str, float], fitting: Fitting) -> list[Sequence[Row]]:
        """The rows of each record."""
        chats = [record for record in records if isinstance(record, Chat)]
        labelled = [record for record in records if isinstance(record, Labelled)]
        drafts = iter(self._drafts(chats))
        bodies = iter(self._encoder.encode([record.text for record in labelled]))
        made: list[Sequence[Row]] = []
        for record in records:
            if isinstance(record, Chat):
                made.append(self._fitted(record, next(drafts), fitting))
            elif isinstance(record, Labelled):
                made.append(self._framed(record, next(bodies), _target(record, targets), fitting))
            elif isinstance(record, Text):
                made.append(self.text(record))
                if not made[-1]:
                    fitting.drop(record, "no-learned-token")
            else:
                raise TypeError(f"{type(record).__name__} is not rendered as rows")
        return made

    def _fitted(self, record: Chat, draft: Draft, fitting: Fitting) -> Sequence[Row]:
        if not fitting.admits(record, len(draft.ids)):
            return ()
        row = self._row(record, draft, self.context)
        if row.learned:
            return (row,)
        fitting.drop(record, "no-learned-token", f"cut at {self.context} tokens" if row.truncated else "")
        return ()

    def _framed(self, record: Labelled, body: list[int], target: float, fitting: Fitting) -> Sequence[Row]:
        length = len(self._before) + len(body) + len(self._after)
        if not body:
            fitting.drop(record, "empty-text")
            return ()
        if not fitting.admits(record, length):
            return ()
        over = max(0, length - self.context)
        kept = body[: max(0, len(body) - over)]
        return (_unlearned([*self._before, *kept, *self._after], record, target, truncated=over),)


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default") or next(iter(own.values()), None)
    return own or (PLAIN_TEMPLATE if tokenizer.eos_token else None)


def _target(record: Labelled, targets: Mapping[str, float]) -> float:
    if record.label not in targets:
        raise InputError(f"{record.source}: the label {record.label!r} is not one of those to tell apart")
    return targets[record.label]


def _unlearned(tokens: list[int], record: Record, target: float, truncated: int = 0) -> Row:
    weights = np.zeros(len(tokens), np.float32)
    return Row(np.array(tokens, np.int32), weights, record.id, target=target, truncated=truncated)


def _reaches(offsets: Sequence[tuple[int, int]], counts: Sequence[int], length: int) -> list[int]:
    """For each of `counts`, the characters of a text of `length` that its first so many tokens account for.

    A character that is spread over several tokens goes whole to the first of them, what the tokenizer skips to the
    token after it, or at the end of the text to the last one: so each is counted exactly once.
    """
    reached = np.maximum.accumulate(np.array([0, *(end for _, end in offsets)]))
    reached[-1] = length
    return [int(reached[min(count, len(offsets))]) for count in counts]

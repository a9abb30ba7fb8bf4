"""The one renderer: a record becomes rows of token ids, for training, evaluation, generation, chat and serving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from affinage.data.batches import Row
from affinage.data.ledger import Drop
from affinage.data.records import Chat, Label, Labelled, Message, Preference, Prompt, Rated, Record, Text, digest
from affinage.data.rendering import special_tokens
from affinage.data.rendering.drafting import Drafter, Task
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.explaining import explained
from affinage.data.rendering.fitting import Fitting
from affinage.data.rendering.framing import Frame
from affinage.data.rendering.identity import settings_parts
from affinage.data.rendering.learning import LearnFrom
from affinage.data.rendering.plain_template import own_template
from affinage.data.rendering.segments import Draft
from affinage.data.rendering.shapes import Dialogue
from affinage.data.rendering.templates import ChatTemplate
from affinage.data.rendering.text_blocks import text_blocks
from affinage.data.targets import Target
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
        learn_from: which turns of a chat are learned from (see `LearnFrom`); a message's own `learn` goes first.
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
        learn_from: str,
        context: int,
        too_long: Literal["error", "truncate", "drop"],
        template: str | None = None,
    ) -> None:
        if context < 2:
            raise InputError(f"a context of {context} tokens has no room to predict one from another")
        chosen = template or own_template(tokenizer)
        if chosen:
            tokenizer.chat_template = chosen
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.learn_from = learn_from
        self._learned = LearnFrom(learn_from)
        self.context = context
        self.too_long = too_long
        self._encoder = Encoder(tokenizer, chosen or "")
        self._template = ChatTemplate(tokenizer, self._encoder, chosen or "")
        self._frame = Frame(tokenizer, self._encoder)
        self._drafter = Drafter(self._template, self._encoder, self._frame.bos)

    def rows(
        self, records: Sequence[Record], targets: Mapping[Label, Target] | None = None
    ) -> tuple[list[Row], list[Drop]]:
        """The rows of `records`, in their order, and those that gave none.

        Args:
            records: texts, chats, labelled texts, rated answers (one row each) and preferences (one row for each
                completion, one after the other and with the same `record_id`, the completion learned from). A prompt
                has nothing to learn from and is dropped, counted.
            targets: of each label what a head is asked to answer, for labelled texts.

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
        """Blocks that fit the context, of BOS (if there is one) + text + EOS; see `text_blocks`."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        return text_blocks(record, self._encoder, bos=bos, eos=eos, context=self.context)

    def chat(self, record: Chat) -> Row:
        """The whole conversation by the chat template, whatever its length.

        Learned from are, of each learned turn, the content and the end-of-turn token after it, not the role header;
        of an answer also what the template puts between the generation prompt and the content (such as an empty
        reasoning block), as it must be generated too. An empty answer is not learned from.

        Raises:
            InputError: the template refuses the conversation, or changes or leaves out a turn's text.
        """
        draft = self._drafter.drafts([self._task(record)])[0]
        return self._row(record, draft, len(draft.ids))

    def prompt(self, messages: Sequence[Message], tools: Sequence[str] = ()) -> list[int]:
        """Token ids after which the model answers: the beginning of `chat`'s for the same conversation.

        The one exception: a template whose finished answers begin unlike its generation prompt (DeepSeek's opens
        reasoning that finished answers leave out) has one prompt for answers with reasoning and one without; this is
        then the one without.

        Raises:
            InputError: as for `chat`.
        """
        return self._drafter.prompt(Dialogue(self._with_system(messages), tuple(tools)))

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

    def labelled(self, record: Labelled, target: Target) -> Row:
        """The text, whatever its length, with the tokenizer's usual special tokens; nothing learned from but `target`.

        Encoders get theirs on both sides ([CLS] .. [SEP]), decoders BOS and no EOS.
        """
        return self._frame.row(record, self._encoder.encode([record.text])[0], target)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer: what the template writes after one, EOS, and what it writes after calls."""
        return special_tokens.stop_ids(self.tokenizer, self._encoder, self._template.endings)

    @property
    def pad_id(self) -> int:
        """A token to pad with that never ends anything."""
        return special_tokens.pad_id(self.tokenizer, self._encoder, self.stop_ids)

    @property
    def template_hash(self) -> str:
        """Digest of the template, the special tokens, what the tokenizer puts around a text, and the system prompt."""
        parts = self.settings_parts
        return digest([parts[name] for name in ("template", "special", "around", "system_prompt")])

    @property
    def settings_parts(self) -> dict[str, str]:
        """Everything in this renderer that can change its rows, by name."""
        frame = self._frame
        own = {
            "around": [frame.before, frame.after, frame.bos],
            "system_prompt": self.system_prompt,
            "learn_from": self.learn_from,
            "context": self.context,
            "too_long": self.too_long,
        }
        return settings_parts(self.tokenizer, self._encoder, self._template.source, own)

    @property
    def settings_digest(self) -> str:
        """One string for all of `settings_parts`: equal digests render equal records to equal rows."""
        return digest(self.settings_parts)

    @property
    def left_out(self) -> Counter[str]:
        """What the template has left out so far, in turns: `reasoning` of answers that others follow."""
        return self._template.left_out

    def explain(self, row: Row) -> list[tuple[str, bool]]:
        """For each token its text and whether it is learned from; see `explained`."""
        return explained(row, self._decode)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _with_system(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        if self.system_prompt is None or any(message.role in ("system", "developer") for message in messages):
            return tuple(messages)
        return (Message("system", self.system_prompt, learn=False), *messages)

    def _task(self, record: Chat) -> Task:
        turns = self._with_system(record.messages)
        return Task(Dialogue(turns, record.tools), self._learned.numbers(turns), record.source)

    def _tasks(self, record: Record) -> list[Task]:
        """What is rendered of a record by the chat template: one dialogue for each of its rows."""
        if isinstance(record, Chat):
            return [self._task(record)]
        if not isinstance(record, Preference | Rated):
            return []
        prompt = self._with_system(record.messages)
        completions = record.completions if isinstance(record, Preference) else (record.completion,)
        return [Task(Dialogue((*prompt, done)), {len(prompt)}, record.source) for done in completions]

    def _row(self, record: Record, draft: Draft, limit: int) -> Row:
        size = draft.learned_bytes(self._encoder, limit)
        over = max(0, len(draft.ids) - limit)
        return Row(draft.ids[:limit], draft.weights[:limit], record.id, size, truncated=over)

    def _block(
        self, records: Sequence[Record], targets: Mapping[Label, Target], fitting: Fitting
    ) -> list[Sequence[Row]]:
        """The rows of each record."""
        tasks = [self._tasks(record) for record in records]
        drafts = iter(self._drafter.drafts([task for some in tasks for task in some]))
        bodies = iter(self._encoder.encode([record.text for record in records if isinstance(record, Labelled)]))
        made: list[Sequence[Row]] = []
        for record, some in zip(records, tasks, strict=True):
            if some:
                made.append(self._fitted(record, list(islice(drafts, len(some))), fitting))
            elif isinstance(record, Labelled):
                made.append(self._frame.fitted(record, next(bodies), targets, fitting))
            elif isinstance(record, Text | Prompt):
                made.append(self.text(record) if isinstance(record, Text) else ())
                if not made[-1]:
                    fitting.drop(record, "no-learned-token")
            else:
                raise TypeError(f"{type(record).__name__} is not rendered as rows")
        return made

    def _fitted(self, record: Record, drafts: Sequence[Draft], fitting: Fitting) -> Sequence[Row]:
        """The rows of a record: all of them or, where one does not fit or says nothing, none."""
        if not fitting.admits(record, max(len(draft.ids) for draft in drafts)):
            return ()
        rows = [self._row(record, draft, self.context) for draft in drafts]
        if all(row.learned for row in rows):
            return rows
        cut = any(row.truncated for row in rows if not row.learned)
        fitting.drop(record, "no-learned-token", f"cut at {self.context} tokens" if cut else "")
        return ()

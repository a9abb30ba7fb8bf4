"""Every finding that there is, in one table: what it says, why it matters, and the way out.

A check can only give findings that stand here; the pages of `docs/findings` are written from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of finding.

    Attributes:
        severity: what it usually is; a check raises or lowers it where the recipe or the share of rows asks for it.
        group: the part of the data that it speaks of.
        says: what was found, in one line.
        why: why it matters.
        fix: the way out.
    """

    code: str
    severity: Severity
    group: str
    says: str
    why: str
    fix: str


READING, CONTENT, ANSWERS, TOKENS, LABELS, COMPARISONS, SIDES = (
    "reading", "content", "answers", "tokens", "labels", "comparisons", "sides of the split",
)  # fmt: skip

_ENTRIES = (
    # reading
    Entry("refused", "error", READING, "Reading stopped, or the recipe does not fit the data or the model.",
          "Nothing can be learned until this is put right.", "The message itself says what to do."),
    Entry("malformed", "error", READING, "Rows that cannot be parsed.",
          "Half a row is often the sign of a file that was cut off or joined badly, and its neighbours may be wrong too.",
          "Correct the rows, or leave them out, counted, with `--set bad_rows=drop`."),
    Entry("wrong-type", "error", READING, "Rows that hold a value of the wrong type, such as a number where text is due.",
          "A number or an object turned into text by force teaches the model to write machine formats.",
          "Correct the rows, or leave them out, counted, with `--set bad_rows=drop`."),
    Entry("missing-column", "error", READING, "Rows that lack a column which the others have.",
          "Such rows usually come from another source, with other meanings.",
          "Add the column, name the right one with `--set columns.ROLE=NAME`, or `--set bad_rows=drop`."),
    Entry("not-text", "error", READING, "Rows that hold images, sound, video or raw bytes.",
          "A text model sees nothing of them; an answer about an image that is not there teaches it to make things up.",
          "Take such rows out, name the text column by hand, or `--set bad_rows=drop`."),
    Entry("empty-text", "warning", READING, "Rows without text; they are left out and counted.",
          "Many of them mean that the wrong column was taken or that an export failed.",
          "Look at the source of these rows, or name the right column."),
    Entry("empty-label", "warning", READING, "Rows without a label; they are left out and counted.",
          "Labels that are missing where a case is hard leave only the easy rows to learn and to measure on.",
          "Label these rows, or take them out."),
    Entry("empty-prompt", "warning", READING, "Rows without a prompt; they are left out and counted.",
          "An answer to nothing would be learned as an answer to anything.", "Give these rows a prompt."),
    Entry("empty-response", "warning", READING, "Rows with an empty answer; they are left out and counted.",
          "A model that learns empty answers falls silent.", "Write the answers, or take the rows out."),
    Entry("bad-role-order", "warning", READING, "Chats whose turns stand in an odd order, such as two user turns in a row.",
          "Chat templates refuse such orders or silently drop turns.",
          "Join turns of one role, or give the missing ones."),
    Entry("tool-calls", "warning", READING, "Chats whose tool calls cannot be read: no name, or no JSON arguments.",
          "A model that learns broken calls writes broken calls.",
          "Give each call the name of its function and its arguments as a JSON object."),
    Entry("not-comparable", "warning", READING, "Comparisons that cannot be compared: one completion, or other prompts.",
          "A preference is learned between answers to one prompt.", "Give each row two or more answers to its prompt."),
    Entry("unreadable", "warning", READING, "Documents that cannot be opened or read.",
          "Their content is missing from what is learned.", "Open them in their own program and save them again."),
    Entry("encrypted", "warning", READING, "Documents behind a password.",
          "Their content is missing from what is learned.", "Save them without the password."),
    Entry("unsupported", "warning", READING, "Documents of a format that is not read, or whose reader is not installed.",
          "Their content is missing from what is learned.",
          "`pip install 'affinage[documents]'`, or save them as HTML or text."),
    Entry("left-out", "warning", READING, "Rows that are left out for another reason, which the message names.",
          "What is left out is not learned from.", "Look at the named rows."),
    Entry("duplicate", "note", READING, "Rows that say exactly the same as an earlier row; they are left out and counted.",
          "Repeated rows are learned by heart, and would stand on both sides of the split.", "Nothing to do."),
    Entry("contaminated", "note", READING, "Rows that hold texts of the benchmark named by `decontaminate`; left out, counted.",
          "A benchmark that was trained on measures memory.", "Nothing to do."),
    Entry("redacted", "note", READING, "Secrets and personal data were replaced by typed placeholders.",
          "The model learns the placeholders instead; names and other things without a shape are not found.",
          "Read a few rows with `--row N` before you rely on it."),
    Entry("removed-text", "note", READING, "Headers, footers, boilerplate or repeated passages were taken out of documents.",
          "What stands on every page would otherwise be learned a thousand times.", "Compare a document with its text."),
    Entry("scanned-page", "warning", READING, "Documents, or pages of them, that hold no text: scanned, most likely.",
          "Their content is missing from what is learned, without a trace in the text.",
          "Run optical character recognition over these files first."),
    Entry("too-long", "error", READING, "Rows longer than the model's context.",
          "Cut rows lose their end, which is the answer, and the model does not learn to stop.",
          "`--set context=N` if the model allows it, `--set too_long=truncate` or `--set too_long=drop` (both counted)."),
    Entry("not-rendered", "error", READING, "Chats that the model's chat template refuses.",
          "What the template cannot write, the model was never shown.", "Change the rows, or choose another model."),
    Entry("dominant-source", "note", READING, "One of several files holds nearly all rows.",
          "The others are hardly seen in training.", "Give each source its share with `--set mix=[...]`."),
    # content
    Entry("mojibake", "warning", CONTENT, "Text that was decoded wrongly, such as `Ã©` for `é`: mixed encodings.",
          "The model learns to write the broken form.", "Repair the text at its source, or with the ftfy library."),
    Entry("replacement-character", "warning", CONTENT, "The character U+FFFD, which stands where characters were lost.",
          "What was lost cannot be learned; the model learns to write U+FFFD.",
          "Read the source again in its right encoding."),
    Entry("control-token", "warning", CONTENT, "Control tokens of a chat format inside the text.",
          "The data were rendered by a template before; rendered twice, they teach the model to write its own markup.",
          "Give roles and contents as they were before rendering."),
    Entry("null-as-text", "warning", CONTENT, "Missing values that became text: `nan`, `None`, `null`.",
          "They are learned as real contents and answers.",
          "Leave such cells empty where the table is written; empty rows are left out and counted."),
    Entry("short-text", "note", CONTENT, "Texts of a few characters.", "There is little in them to learn.",
          "Check that the text column is the right one."),
    Entry("mixed-languages", "note", CONTENT, "The rows are in several languages.",
          "A model learns to answer in the wrong one where questions and answers do not agree.",
          "Fine where it is meant; else keep one language, or name it in a system prompt."),
    Entry("secret", "warning", CONTENT, "Keys, tokens, passwords or private keys by their shape.",
          "A model can be made to repeat what it learned word for word.",
          "`--set redact=true` puts placeholders in their place; withdraw the keys themselves."),
    Entry("personal-data", "warning", CONTENT, "Personal data by their shape: e-mail and IP addresses, phone, card, account "
          "and social-security numbers.", "A model can be made to repeat what it learned word for word.",
          "`--set redact=true` puts placeholders in their place. Names and postal addresses are not found by shape."),
    # answers
    Entry("cut-answer", "warning", ANSWERS, "Answers that stop in the middle of a sentence or of a code block.",
          "The model learns to stop there too. They mostly come from another model's length limit.",
          "Generate these answers again with more room, or take the rows out."),
    Entry("cut-at-length", "warning", ANSWERS, "Many texts end at exactly the same length, which is the longest one.",
          "Something cut them: a column width, an export, a limit.", "Read the source again without the limit."),
    Entry("refusal", "warning", ANSWERS, "Answers that refuse, or speak of themselves as a language model.",
          "A few percent of them are enough to make a model refuse harmless requests.",
          "Take these rows out, unless refusing is what you want it to learn."),
    Entry("answer-is-prompt", "warning", ANSWERS, "The answer is the prompt over again.", "The model learns to echo.",
          "Check that the answer column is the right one (`--set columns.response=NAME`)."),
    Entry("answer-in-prompt", "note", ANSWERS, "The answer stands word for word in the prompt.",
          "The prompt gives it away.", "Fine for extraction; else take the answer out of the prompt."),
    Entry("one-word-answer", "note", ANSWERS, "Answers of a single word.", "The model learns to be curt.",
          "Fine for closed questions."),
    Entry("differing-answers", "note", ANSWERS, "One prompt with several different answers.",
          "A model that takes the likeliest can give only one of them.",
          "Fine where several are right; else keep the one that you want."),
    # tokens
    Entry("no-learned-token", "warning", TOKENS, "Rows with nothing to learn from once rendered.",
          "A run over such rows shows a falling loss on nothing at all; where no other row is left, it is refused.",
          "Look at `learn_from`, at the turns' weights, and at rows that are cut before their answer."),
    Entry("prompt-learned", "warning", TOKENS, "Prompts are learned from, not only answers.",
          "The model learns to write questions, and the loss is mostly that of the prompts.",
          "Leave `learn_from` at `completions` and take the weights off user turns, unless you want this."),
    Entry("end-not-learned", "warning", TOKENS, "Answers whose end-of-turn token is not learned.",
          "The model does not learn to stop there. Where that is so in every row, the run is refused.",
          "Do not cut rows: a longer context, or `--set too_long=drop`."),
    Entry("doubled-bos", "warning", TOKENS, "Rows that begin with two start tokens.",
          "The model has never seen that in its pre-training, and most serving code will not do it.",
          "Take one of them out of the model's chat template."),
    Entry("pad-is-eos", "note", TOKENS, "The tokenizer pads with its end-of-text token.",
          "Tools that mask padding by token then hide every end of text, and the model never stops. Here padding is "
          "told apart by position, so the end is learned.", "Nothing to do here; take care elsewhere."),
    Entry("template-differs", "warning", TOKENS, "The model folder holds two chat templates that differ.",
          "Which one is used depends on the tool that reads the folder, so training and serving may disagree.",
          "Keep one: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`."),
    Entry("unknown-token", "warning", TOKENS, "Characters for which the tokenizer has no token at all.",
          "The model cannot see them.", "Choose a model made for this language or script."),
    Entry("spelt-out", "warning", TOKENS, "Text that the tokenizer spells nearly byte by byte.",
          "It takes many more tokens, and the model has hardly met this language or script.",
          "Choose a model with a vocabulary for it."),
    # labels
    Entry("one-label", "error", LABELS, "All rows have the same label.", "There is nothing to tell apart.",
          "Check that the label column is the right one (`--set columns.label=NAME`)."),
    Entry("label-once", "error", LABELS, "Labels that one row alone has.", "They cannot be both learned and held out.",
          "Add rows of these labels, merge them into others, or remove them."),
    Entry("rare-label", "warning", LABELS, "Labels with fewer than ten rows.", "Too few to learn well, and to measure.",
          "Add rows of these labels, or merge them into others."),
    Entry("uneven-labels", "warning", LABELS, "One label is far more frequent than others.",
          "A model that always names it looks good by accuracy.", "Read macro-F1 beside accuracy."),
    Entry("label-variants", "warning", LABELS, "Labels that differ in case or separators alone.",
          "One class is learned as two that contradict each other.", "Write them in one way."),
    Entry("contradictory-labels", "warning", LABELS, "One text under several labels.",
          "No model can be right on all of these rows.", "Decide on one label for each text."),
    Entry("label-in-text", "warning", LABELS, "The text names its own label.",
          "The model learns to look for the name; on text that does not give it away it fails, however well it measured.",
          "Take the label out of the text."),
    Entry("unseen-label", "warning", LABELS, "Labels that are held out but never trained on.",
          "Rows of these labels can only be wrong, and lower the measured figure.",
          "Add rows of these labels to the training side, or split otherwise (`columns.group`, `columns.time`)."),
    # comparisons
    Entry("chosen-equals-rejected", "warning", COMPARISONS, "Preferred and rejected answer are the same.",
          "There is nothing to prefer; where all rows are so, the run is refused.",
          "Check that `chosen` and `rejected` are the right columns; take the rows out."),
    Entry("tied-completions", "note", COMPARISONS, "Comparisons in which no completion is better than another.",
          "They say nothing about which one to prefer.", "Fine in small numbers."),
    Entry("length-bias", "warning", COMPARISONS, "The preferred answer is mostly the longer (or the shorter) one.",
          "A model learns the length instead of the quality: it is the easiest thing to see.",
          "Balance the lengths, or use a loss that takes length into account; measure both."),
    Entry("one-rating", "warning", COMPARISONS, "All rows have the same rating.", "There is nothing to tell apart.",
          "Check that the rating column is the right one."),
    Entry("equal-passages", "warning", COMPARISONS, "A passage that is its own query, or stands among its negatives.",
          "The model is asked to tell a text from itself.", "Take these rows out."),
    # sides of the split
    Entry("shared-text", "note", SIDES, "Rows that share their prompt or text, but for case and spaces.",
          "On two sides of the split they would leak.", "Nothing to do: the split keeps such rows on one side."),
    Entry("near-duplicate", "note", SIDES, "Rows that say nearly the same.",
          "They count as evidence more than once, and on two sides of the split they leak.",
          "Nothing to do: the split keeps them on one side. `--set near_duplicates=drop` leaves all but the first out."),
    Entry("split-files", "warning", SIDES, "Files that are named as the parts of a split, such as train and test, are read as one.",
          "What is learned from the set's own test rows makes any figure on them worthless.",
          "Name the training file alone, and measure on the other with `affinage eval RUN --data FILE`."),
    Entry("split-overlap", "warning", SIDES, "Held-out rows that training rows hold too, word for word or nearly.",
          "The reported figure then measures memory.",
          "`--set near_duplicates=join` (the default) keeps copies together; rows made from one document or customer "
          "need `--set columns.group=COLUMN`, and `--set near_duplicates=drop` keeps the first alone."),
)  # fmt: skip

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES}

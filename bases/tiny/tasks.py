"""Task-shaped text for pre-training, made by rules from passages of the corpus.

The tasks teach a small model the shapes that instruction data has: an answer quoted from the text above it, a short
closed answer, the letter of an option, the value of a named field. Every answer is right by construction. Many
phrasings are used, so that the model learns the task rather than one wording.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Material:
    """One passage with what is known about the document it comes from."""

    source: str
    title: str
    subject: str
    text: str


@dataclass(frozen=True)
class Question:
    """A question about a passage, with its answer."""

    ask: str
    answer: str


# --- sentences and words --------------------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_SHORT = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|Messrs|Rev|Capt|Col|Gen|Sir|vs|etc|e\.g|i\.e|[A-Z])\.$")


def _words(text: str) -> tuple[str, ...]:
    """The words of a line, as a tuple."""
    return tuple(text.split())


_COMMON = frozenset(
    _words(
        "about above after again against almost alone along already also although always among another anything "
        "around asked away back became because become been before began behind being below between both brought "
        "called came cannot certain could course does doing done down each either else enough even ever every "
        "everything example face fact felt find first following found from gave give given goes going good great half "
        "hand hands hardly have having head heard heart her here herself high him himself his house however indeed "
        "into itself just keep kind knew know known large last least left less life like little long look looked made "
        "make making man many matter may mean might mind mine moment more most much must myself need never next "
        "nothing often once one only other others ought over own part people perhaps place point possible put quite "
        "rather really right round said same saw say seem seemed seems seen several shall she should side since some "
        "something soon still such take taken tell than that the their them themselves then there therefore these "
        "they thing things think this those though thought three through thus time together told too took toward "
        "towards turned two under until upon use used using very want was way well went were what when where whether "
        "which while who whole whom whose why will with within without woman women word words work world would year "
        "years you young your yourself"
    )
)


def sentences(text: str) -> list[str]:
    """Split a paragraph into sentences; joined by single spaces they give the paragraph again."""
    parts: list[str] = []
    start = 0
    for match in re.finditer(r"[.!?][\"')]*(?= [\"'(]*[A-Z])", text):
        if _SHORT.search(text[start : match.start() + 1]):
            continue
        parts.append(text[start : match.end()])
        start = match.end() + 1
    if start < len(text):
        parts.append(text[start:])
    return parts


def passages(text: str, rng: random.Random) -> Iterator[str]:
    """Groups of neighbouring paragraphs of 250 to 1,400 characters."""
    target, size = rng.randint(250, 1_200), 0
    group: list[str] = []
    for part in text.split("\n\n"):
        if len(part) > 1_400:
            group, size = [], 0
            continue
        group.append(part)
        size += len(part) + 2
        if size >= target:
            if size <= 1_400:
                yield "\n\n".join(group)
            target, size, group = rng.randint(250, 1_200), 0, []


def body_sentences(text: str) -> list[str]:
    """The sentences of a passage that can serve as an answer."""
    found = [s for part in text.split("\n\n") for s in sentences(part)]
    return [s for s in found if 25 <= len(s) <= 260 and s[-1] in ".!?\"'" and s.count('"') % 2 == 0]


def key_words(sentence: str, text: str) -> list[str]:
    """Words of a sentence that are telling and occur once in the whole text."""
    words = [w for w in _WORD.findall(sentence) if len(w) > 3 and w.lower() not in _COMMON and "'" not in w]
    lower = text.lower()
    return [w for w in words if len(re.findall(rf"\b{re.escape(w.lower())}", lower)) == 1]


# --- layouts --------------------------------------------------------------------------------------------------------

_TEXT_LABELS = ("Text", "Text", "Passage", "Context", "Document", "Extract", "Source")
_ASK_LABELS = (
    ("Question", "Answer"),
    ("Question", "Answer"),
    ("Q", "A"),
    ("Task", "Answer"),
    ("Instruction", "Response"),
)


def lay_out(text: str, questions: list[Question], rng: random.Random) -> Row:
    """Write a passage and its questions down in one of several layouts; sometimes as a conversation."""
    ask_label, answer_label = rng.choice(_ASK_LABELS)
    label = rng.choice(_TEXT_LABELS)
    gap = rng.choice(("\n\n", "\n\n", "\n"))
    pairs = [f"{ask_label}: {item.ask}{gap}{answer_label}: {item.answer}" for item in questions]
    first = questions[0]
    style = rng.random()
    if not text:
        plain = "\n\n".join(pairs)
    elif style < 0.65:
        plain = "\n\n".join([f"{label}: {text}" if rng.random() < 0.7 else f"{label}:\n{text}", *pairs])
    elif style < 0.8:
        plain = "\n\n".join([text, *pairs])
    else:
        head = f"{ask_label}: {first.ask}\n\n{label}: {text}\n\n{answer_label}: {first.answer}"
        plain = "\n\n".join([head, *pairs[1:]])
    row: Row = {"text": plain}
    if rng.random() < 0.25:
        row["messages"] = conversation(text, label, questions, rng)
    return row


def conversation(text: str, label: str, questions: list[Question], rng: random.Random) -> list[dict[str, str]]:
    """The same content as messages."""
    messages = []
    if rng.random() < 0.2:
        messages.append({"role": "system", "content": rng.choice(_SYSTEM)})
    for number, item in enumerate(questions):
        ask = item.ask
        if number == 0 and text:
            ask = rng.choice((f"{label}: {text}\n\n{ask}", f"{text}\n\n{ask}", f"{ask}\n\n{text}"))
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": item.answer}]
    return messages


_SYSTEM = (
    "Answer from the text.",
    "You answer questions briefly.",
    "You are a helpful assistant.",
    "Quote the text exactly.",
    "Answer the question. Use the words of the text.",
)

# --- questions on a passage -----------------------------------------------------------------------------------------

_QUOTE = (
    "Which sentence mentions {}?",
    "Which sentence mentions {}?",
    "Which sentence of the text mentions {}?",
    "Quote the sentence about {}.",
    "Quote the sentence that mentions {}.",
    "Where does the text speak of {}? Quote the sentence.",
    "Find the sentence with the word {}.",
    "What does the text say about {}?",
    "What is said about {}?",
    "Copy the sentence in which {} appears.",
    "Give the sentence that contains {}.",
    "Cite the passage on {}.",
)
_ABSENT = ("The text does not mention it.", "Not in the text.", "The text does not say.", "No sentence mentions it.")


def _shown(word: str, sentence: str, rng: random.Random) -> str:
    """How a question names a word: bare, in quotes, or with its article."""
    before = re.search(rf"\b(the|The|a|A|an|An) {re.escape(word)}\b", sentence)
    if before and rng.random() < 0.6:
        return f"the {word}"
    return rng.choice((word, word, f'"{word}"', f"'{word}'"))


def quote(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """Quote the sentence that holds a given word; sometimes the word is not there."""
    found = body_sentences(item.text)
    rng.shuffle(found)
    questions = []
    for sentence in found:
        words = key_words(sentence, item.text)
        if words:
            word = rng.choice(words)
            questions.append(Question(rng.choice(_QUOTE).format(_shown(word, sentence, rng)), sentence))
        if len(questions) == 3:
            break
    if questions and rng.random() < 0.15:
        foreign = key_words(" ".join(body_sentences(others[0].text)), others[0].text)
        foreign = [w for w in foreign if w.lower() not in item.text.lower()]
        if foreign:
            word = rng.choice(foreign)
            questions[-1] = Question(rng.choice(_QUOTE).format(_shown(word, "", rng)), rng.choice(_ABSENT))
    return questions or None


def locate(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """Sentences by place: the first, the last, the next one, the one that begins so."""
    found = body_sentences(item.text)
    if len(found) < 3 or len(set(found)) < len(found):
        return None
    questions = []
    chosen = rng.sample(range(len(found)), 2)
    for index in chosen:
        sentence = found[index]
        start = " ".join(sentence.split()[: rng.randint(2, 4)])
        if sum(start in other for other in found) == 1 and len(start) < len(sentence):
            form = rng.choice((
                'Quote the sentence that begins with "{}".',
                'Which sentence starts with "{}"?',
                'Complete the sentence from the text: "{} ..."',
                'How does the sentence go on that begins "{}"?',
            ))  # fmt: skip
            questions.append(Question(form.format(start.replace('"', "'")), sentence))
    whole = [s for part in item.text.split("\n\n") for s in sentences(part)]
    if rng.random() < 0.3 and whole[0] == found[0]:
        form = rng.choice(("Quote the first sentence.", "What is the first sentence of the text?"))
        questions.append(Question(form, found[0]))
    elif rng.random() < 0.3:
        index = rng.randrange(len(whole) - 1)
        if whole[index] in found and whole[index + 1] in found:
            form = rng.choice(('Which sentence comes after "{}"?', 'What follows "{}"?'))
            questions.append(Question(form.format(whole[index]), whole[index + 1]))
    return questions or None


def gap(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """A sentence of the text with one word left out; the text above has the word."""
    questions = []
    found = body_sentences(item.text)
    rng.shuffle(found)
    for sentence in found[:4]:
        words = key_words(sentence, item.text)
        if not words:
            continue
        word = rng.choice(words)
        blank = re.sub(rf"\b{re.escape(word)}\b", "____", sentence, count=1)
        form = rng.choice((
            "Which word is missing? {}",
            "Which word is missing: {}",
            "Fill in the gap: {}",
            "Fill in the missing word. {}",
            "Complete with one word from the text: {}",
        ))  # fmt: skip
        questions.append(Question(form.format(blank), word))
    return questions[:3] or None


def mention(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """Yes or no: does the text mention a word?"""
    here = key_words(" ".join(body_sentences(item.text)), item.text)
    there = key_words(" ".join(body_sentences(others[0].text)), others[0].text)
    there = [w for w in there if w.lower() not in item.text.lower()]
    questions = []
    for _ in range(2):
        pool, answer = (here, "Yes") if rng.random() < 0.5 else (there, "No")
        if not pool:
            return None
        word = rng.choice(pool)
        form = rng.choice((
            "Does the text mention {}?",
            "Is {} mentioned in the text?",
            "Does the word {} occur in the text? Answer yes or no.",
            "Yes or no: the text mentions {}.",
        ))  # fmt: skip
        questions.append(Question(form.format(_shown(word, "", rng)), answer + rng.choice(("", "."))))
    return questions


def title(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """The title of the section a passage comes from, and the subject of its book."""
    questions = []
    if item.source in ("textbooks", "peps") and 3 < len(item.title) < 90:
        form = rng.choice((
            "What is the title of this section?",
            "What is this text about?",
            "Give a title for this text.",
            "Which section is this from?",
            "Write a heading for this passage.",
        ))  # fmt: skip
        questions.append(Question(form, item.title))
    if item.subject:
        form = rng.choice((
            "Which subject is this text from?",
            "What is the subject?",
            "Name the subject of the textbook.",
            "What field does this belong to?",
        ))  # fmt: skip
        questions.append(Question(form, item.subject))
    rng.shuffle(questions)
    return questions or None


def _options(right: str, wrong: list[str], rng: random.Random) -> tuple[str, str]:
    """Lettered options in one of several styles, and the answer."""
    items = [right, *wrong]
    rng.shuffle(items)
    style = rng.choice(("{}. {}", "{}. {}", "{}) {}", "({}) {}", "{}: {}"))
    letters = "ABCD"[: len(items)]
    lines = "\n".join(style.format(letter, text) for letter, text in zip(letters, items, strict=True))
    letter = letters[items.index(right)]
    answer = letter if rng.random() < 0.75 else f"{letter}. {right}"
    lead = rng.choice(("Options:\n", "Options:\n", "Choices:\n", ""))
    return lead + lines, answer


def choose(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """Choose among options: the sentence of the text, a word of the text, the missing word, the subject or title."""
    found = body_sentences(item.text)
    elsewhere = [s for other in others for s in body_sentences(other.text)[:3]]
    here = key_words(" ".join(found), item.text)
    there = [w for other in others for w in key_words(" ".join(body_sentences(other.text)), other.text)]
    there = [w for w in there if w.lower() not in item.text.lower()]
    titles = list(dict.fromkeys(o.title for o in others if o.title and o.title != item.title))
    count = rng.choice((1, 2, 3, 3, 3))
    if not found or not here or len(there) < count or len(elsewhere) < count:
        return None
    kind = rng.random()
    wrong_words = rng.sample(there, count)
    if kind < 0.25:
        ask = rng.choice(("Which word is in the text?", "Which of these words occurs in the text?"))
        right, wrong = rng.choice(here), wrong_words
    elif kind < 0.55:
        ask = rng.choice(("Which sentence is from the text?", "Which of these sentences is in the text?"))
        right, wrong = rng.choice(found), rng.sample(elsewhere, count)
    elif kind < 0.75 or not item.title or len(titles) < count:
        sentence = rng.choice(found)
        words = key_words(sentence, item.text)
        if not words:
            return None
        right, wrong = rng.choice(words), wrong_words
        ask = "Which word is missing? " + re.sub(rf"\b{re.escape(right)}\b", "____", sentence, count=1)
    else:
        ask = rng.choice(("Which title fits the text?", "What is the text about?"))
        right, wrong = item.title, rng.sample(titles, count)
    if right in wrong or len(set(wrong)) < len(wrong):
        return None
    options, answer = _options(right, wrong, rng)
    return [Question(f"{ask}\n{options}", answer)]


# --- questions without a passage ------------------------------------------------------------------------------------

_DEFINES = re.compile(
    r"^(?:An? |The )?([A-Z]?[A-Za-z' -]{3,45}?) (is|are|refers to|means|consists of|occurs when) "
    r"((?:an?|the|any|when)? ?.+\.)$"
)
_PRONOUNS = frozenset(
    _words("it this that these those there he she they we you i what who which one some many most all such")
)


def define(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """Definitions in textbooks, asked with nothing to read from."""
    if item.source != "textbooks":
        return None
    questions = []
    for sentence in body_sentences(item.text):
        match = _DEFINES.match(sentence)
        if not match or '"' in sentence:
            continue
        term = match.group(1)
        words = term.split()
        if len(words) > 4 or words[0].lower() in _PRONOUNS or any(w.lower() in _PRONOUNS for w in words):
            continue
        term = term[0].lower() + term[1:] if not term.isupper() and len(words) == 1 else term
        verb = "are" if match.group(2) == "are" else "is"
        form = rng.choice((f"What {verb} {term}?", f"Define {term}.", f"Explain {term} in one sentence."))
        questions.append(Question(form, sentence))
    return questions[:2] or None


def closed_gap(item: Material, others: list[Material], rng: random.Random) -> list[Question] | None:
    """A sentence of a textbook with one word left out and nothing to read it from."""
    if item.source != "textbooks":
        return None
    found = [s for s in body_sentences(item.text) if len(s) > 60]
    if not found:
        return None
    sentence = rng.choice(found)
    words = [w for w in _WORD.findall(sentence) if len(w) > 4 and w.lower() not in _COMMON]
    if not words:
        return None
    word = rng.choice(words)
    blank = re.sub(rf"\b{re.escape(word)}\b", "____", sentence, count=1)
    form = rng.choice(("Which word is missing? {}", "Fill in the gap: {}", "Complete the sentence: {}"))
    return [Question(form.format(blank), word)]


def worked(question: str, steps: str, final: str, rng: random.Random) -> str:
    """A word problem with its solution; some with the number alone."""
    ask, answer = rng.choice((("Question", "Answer"), ("Question", "Answer"), ("Problem", "Solution"), ("Q", "A")))
    kind = rng.random()
    if kind < 0.2:
        return f"{ask}: {question}\n\n{answer}: {final}"
    closing = rng.choice((f"The answer is {final}.", f"Answer: {final}", f"#### {final}", f"So the answer is {final}."))
    between = "\n\n" if kind < 0.7 else "\n"
    return f"{ask}: {question}{between}{answer}: {steps}\n{closing}"


# --- records with fields --------------------------------------------------------------------------------------------

_FIRST = _words(
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jack Karen Leo Maria Nora Oscar Paul Rosa Sam Tina Victor Walter "
    "Alice Boris Carol Dennis Ellen Frank Gina Hugo Iris James Kate Louis Mary Nick Olga Peter Ruth Simon Tom Vera"
)
_LAST = _words(
    "Adams Baker Carter Dixon Evans Fisher Green Hall Irwin Jones King Lee Moore Nash Owen Price Reed Smith Turner "
    "Young Bell Cole Ford Gray Hill Lane Mills Page Ross Stone Wood West Marsh Field Brook Shaw Wells Grant Hunt"
)
_CITIES = _words(
    "London Paris Berlin Madrid Rome Vienna Dublin Oslo Boston Chicago Denver Austin Toronto Sydney Lisbon Prague "
    "Warsaw Geneva Leeds York Bath Oxford Bristol Lyon Milan Athens Cairo Delhi Tokyo Seattle"
)
_THINGS = _words(
    "lamp chair table clock book pen cup bottle blanket mirror basket ladder hammer kettle carpet pillow candle "
    "bicycle camera printer keyboard jacket umbrella suitcase radio guitar wallet shelf bucket lantern"
)
_COLOURS = _words("red blue green black white yellow brown grey pink purple orange silver")
_STATES = ("open", "closed", "paid", "sent", "late", "new", "cancelled", "delivered", "waiting", "ready", "returned")
_MONTHS = _words("January February March April May June July August September October November December")


def _value(field: str, rng: random.Random) -> str:
    """A made-up value for a field."""
    name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
    values: dict[str, Callable[[], str]] = {
        "name": lambda: name,
        "code": lambda: rng.choice("ABCDEFGHKLMNPRSTX") + rng.choice(("-", "")) + str(rng.randint(10, 9999)),
        "number": lambda: str(rng.randint(2, 99_999)),
        "city": lambda: rng.choice(_CITIES),
        "thing": lambda: rng.choice(_THINGS),
        "colour": lambda: rng.choice(_COLOURS),
        "state": lambda: rng.choice(_STATES),
        "date": lambda: f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.randint(1990, 2029)}",
        "day": lambda: f"{rng.randint(1990, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        "price": lambda: f"{rng.choice(('$', '', '£'))}{rng.randint(1, 999)}.{rng.randint(0, 99):02}",
        "mail": lambda: f"{name.lower().replace(' ', '.')}@example.{rng.choice(('com', 'org', 'net'))}",
        "phone": lambda: " ".join(str(rng.randint(10, 99)) for _ in range(4)),
        "share": lambda: f"{rng.randint(1, 99)} %",
    }
    return values[field]()


_FIELDS = (
    ("Order", "number"), ("Order number", "number"), ("Invoice", "code"), ("Customer", "name"), ("Name", "name"),
    ("Author", "name"), ("Patient", "name"), ("Contact", "name"), ("City", "city"), ("Place", "city"),
    ("Destination", "city"), ("Product", "thing"), ("Item", "thing"), ("Colour", "colour"), ("Status", "state"),
    ("Date", "date"), ("Due date", "day"), ("Creation date", "day"), ("Price", "price"), ("Total", "price"),
    ("Email", "mail"), ("Phone", "phone"), ("Room", "number"), ("Quantity", "number"), ("Code", "code"),
    ("Reference", "code"), ("Discount", "share"), ("Ticket", "code"), ("Manager", "name"), ("Account", "number"),
)  # fmt: skip


def fields(rng: random.Random) -> Row:
    """A made-up record in one of several notations, with questions on its fields."""
    chosen = rng.sample(_FIELDS, rng.randint(3, 8))
    pairs = [(name, _value(kind, rng)) for name, kind in chosen]
    style = rng.randrange(5)
    if style == 0:
        text = "\n".join(f"{name}: {value}" for name, value in pairs)
    elif style == 1:
        text = ", ".join(f"{name}: {value}" for name, value in pairs)
    elif style == 2:
        text = json.dumps({name.lower().replace(" ", "_"): value for name, value in pairs}, ensure_ascii=False)
    elif style == 3:
        text = "\n".join(f"- {name} = {value}" for name, value in pairs)
    else:
        text = " ".join(f"The {name.lower()} is {value}." for name, value in pairs)
    questions = []
    for name, value in rng.sample(pairs, min(len(pairs), rng.randint(1, 4))):
        low = name.lower()
        form = rng.choice((
            f"What is the {low}?", f"What is the {low}?", f"Give the {low}.", f"Which {low} is given?",
            f"Copy the {low}.", f"Extract the {low}.", f"{name}?", f"State the {low}.",
        ))  # fmt: skip
        questions.append(Question(form, value))
    if rng.random() < 0.1:
        missing = rng.choice([name for name, _ in _FIELDS if name not in {n for n, _ in pairs}])
        questions.append(Question(f"What is the {missing.lower()}?", rng.choice(("Not given.", "It is not given."))))
    if rng.random() < 0.15:
        keys = [name for name, _ in rng.sample(pairs, 2)]
        answer = json.dumps({key.lower(): dict(pairs)[key] for key in keys}, ensure_ascii=False)
        questions = [Question(f"Give {keys[0].lower()} and {keys[1].lower()} as JSON.", answer)]
    return lay_out(text, questions, rng)


def listing(rng: random.Random) -> Row:
    """A made-up table: find the row, give the column."""
    header = rng.sample([f for f in _FIELDS if f[1] in ("city", "colour", "state", "thing", "price")], 3)
    if len({kind for _, kind in header}) < 3:
        header = [("City", "city"), ("Colour", "colour"), ("Status", "state")]
    people = rng.sample(_FIRST, rng.randint(3, 6))
    rows = [[person, *(_value(kind, rng) for _, kind in header)] for person in people]
    names = ["Name", *(name for name, _ in header)]
    bar = rng.choice((" | ", ", ", "; "))
    text = "\n".join(bar.join(row) for row in [names, *rows])
    questions = []
    for _ in range(rng.randint(1, 3)):
        row, column = rng.choice(rows), rng.randint(1, 3)
        low = names[column].lower()
        form = rng.choice((f"What is the {low} of {row[0]}?", f"Which {low} does {row[0]} have?", f"{row[0]}: {low}?"))
        questions.append(Question(form, row[column]))
    return lay_out(text, questions, rng)


# --- all tasks ------------------------------------------------------------------------------------------------------

Maker = Callable[[Material, list[Material], random.Random], "list[Question] | None"]
#: Makers that need the passage in front, with their weights.
_WITH_TEXT: tuple[tuple[Maker, int], ...] = (
    (quote, 36),
    (locate, 10),
    (gap, 10),
    (mention, 6),
    (title, 12),
    (choose, 18),
)
_WITHOUT_TEXT: tuple[Maker, ...] = (define, closed_gap)


def make(material: list[Material], rng: random.Random) -> Iterator[Row]:
    """An endless stream of task rows; the sources take turns so that novels do not crowd out the rest."""
    by_source: dict[str, list[Material]] = {}
    for item in material:
        by_source.setdefault(item.source, []).append(item)
    weights = {"novels": 35, "textbooks": 45, "peps": 10, "stories": 10}
    names = [name for name in weights if by_source.get(name)]
    makers, shares = zip(*_WITH_TEXT, strict=True)
    while True:
        kind = rng.random()
        if kind < 0.22:
            yield fields(rng)
            continue
        if kind < 0.30:
            yield listing(rng)
            continue
        pool = by_source[rng.choices(names, [weights[name] for name in names])[0]]
        item, others = rng.choice(pool), rng.sample(pool, min(8, len(pool)))
        if kind < 0.40:
            maker, text = rng.choice(_WITHOUT_TEXT), ""
        else:
            maker, text = rng.choices(makers, shares)[0], item.text
        others = [other for other in others if other.text != item.text]
        questions = maker(item, others, rng) if others else None
        if questions:
            yield lay_out(text, questions, rng)

"""Self-Instruct: new instructions after the example of a few, then an instance of each (arXiv 2212.10560)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from affinage.data.records import Source
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import Heuristics, check_answer
from affinage.synthesis.method import Forecast, Method, Propose, user
from affinage.synthesis.parsing import AS_JSON, GUARD, Shape, fenced, parse
from affinage.synthesis.seeds import Seed, paragraphs

INSTRUCTIONS = "self-instruct/instructions/1"
KIND = "self-instruct/kind/1"
INSTANCE = "self-instruct/instance/1"
LABELLED = "self-instruct/labelled-instance/1"
PEOPLES, MACHINES = 6, 2  # examples in a prompt, by people and by the model
AT_ONCE = 8  # new instructions asked for in one call
EXAMPLES = 4  # of each kind, for telling classification from the rest, and of instances


class _Instructions(Shape):
    instructions: list[str]


class _Kind(Shape):
    classification: bool


class _Instance(Shape):
    input: str
    output: str


class _LabelledInstance(Shape):
    labels: list[str]
    output: str
    input: str


class SelfInstruct(Method):
    """Draws from a pool of instructions that grows by every row that is kept.

    Whether an instruction is a classification decides how its instance is made: there the label comes first and the
    input is written for it, so that labels do not all come out the same.
    """

    name = "self-instruct"
    heuristics = Heuristics()

    def __init__(self, seeds: Sequence[Seed], *, seed: int = 0, settings: ChatSettings) -> None:
        super().__init__(settings)
        self.seeds = list(seeds)
        self._made: list[str] = []
        self._random = random.Random(seed)
        kinds = [[s for s in seeds if s.classification is wanted] for wanted in (True, False)]
        self._kinds = [s for pair in zip(*(kind[:EXAMPLES] for kind in kinds), strict=False) for s in pair]

    @property
    def known(self) -> Iterable[tuple[str, str]]:
        return [(seed.instruction, "") for seed in self.seeds]

    def proposals(self, room: int) -> list[Propose]:
        return [self._propose(*self._draw()) for _ in range(-(-room // AT_ONCE))]

    def _draw(self) -> tuple[list[str], list[Source]]:
        """Instructions for one prompt, in mixed order, and the seeds among them."""
        machines = self._random.sample(self._made, min(MACHINES, len(self._made)))
        people = self._random.sample(self.seeds, min(PEOPLES + MACHINES - len(machines), len(self.seeds)))
        shown = [*(seed.instruction for seed in people), *machines]
        self._random.shuffle(shown)
        return shown, [seed.source for seed in people]

    def _propose(self, shown: Sequence[str], sources: Sequence[Source]) -> Propose:
        def work(trail: Trail) -> list[Proposal | Dropped]:
            answer = trail.ask(INSTRUCTIONS, ask_instructions(shown), self.settings)
            made = parse(answer, _Instructions).instructions[:AT_ONCE]
            return [
                Proposal(text.strip(), tuple(sources), trail.branch()) if text.strip() else Dropped("format", "empty")
                for text in made
            ] or [Dropped("format", "no-instructions")]

        return work

    def complete(self, proposal: Proposal) -> Made | Dropped:
        trail, instruction = proposal.trail, proposal.text
        asked = ask_kind(instruction, self._kinds)
        labelled = parse(trail.ask(KIND, asked, self.sure), _Kind).classification
        if labelled:
            made = parse(trail.ask(LABELLED, ask_labelled(instruction), self.settings), _LabelledInstance)
            if made.output.strip() not in [label.strip() for label in made.labels]:
                return Dropped("format", "label-not-among-labels", made.output[:80])
            given, output = made.input.strip(), made.output.strip()
            if not given:
                return Dropped("format", "no-input-to-classify")
        else:
            instance = parse(
                trail.ask(INSTANCE, ask_instance(instruction, self._instances()), self.settings), _Instance
            )
            given, output = instance.input.strip(), instance.output.strip()
        reason = check_answer(given or instruction, output)
        if reason:
            return Dropped("heuristics", reason)
        row = {"instruction": instruction, "input": given, "output": output, "is_classification": labelled}
        return Made(row, paragraphs(instruction, given), output)

    def _instances(self) -> list[Seed]:
        """Seeds with an answer that are no classification; the same in every prompt."""
        fitting = [seed for seed in self.seeds if seed.output and seed.classification is not True]
        return sorted(fitting, key=lambda seed: len(seed.input) + len(seed.output))[:EXAMPLES]

    def accept(self, proposal: Proposal, made: Made) -> None:
        self._made.append(proposal.text)

    def forecast(self, wanted: int) -> Forecast:
        shown = [seed.instruction for seed in self.seeds[: PEOPLES + MACHINES]]
        examples = {
            INSTRUCTIONS: user(ask_instructions(shown)),
            KIND: user(ask_kind(shown[0], self._kinds)),
            INSTANCE: user(ask_instance(shown[0], self._instances())),
        }
        calls = {INSTRUCTIONS: -(-wanted // AT_ONCE), KIND: wanted, INSTANCE: wanted}
        return Forecast(calls, examples, dict.fromkeys(calls, self.settings))


def ask_instructions(shown: Sequence[str]) -> str:
    """New instructions after the example of those shown."""
    listed = "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(shown, start=1))
    return (
        f"Here are {len(shown)} instructions for an assistant that reads and writes text.\n{GUARD}\n\n{fenced(listed)}\n\n"
        f"Write {AT_ONCE} new ones. They should differ from these and from each other in task, topic, wording and "
        "length, be clear without further explanation, and be possible with text alone (no images, sound, files or "
        f"web pages). Write in the language of the examples.\n{AS_JSON}"
        '{"instructions": ["...", "..."]}'
    )


def ask_kind(instruction: str, examples: Sequence[Seed]) -> str:
    """Whether an instruction is a classification."""
    shown = "".join(
        f'{fenced(seed.instruction)}\n{{"classification": {"true" if seed.classification else "false"}}}\n\n'
        for seed in examples
    )
    return (
        "Does the instruction ask for one of a few fixed labels (a classification), or for anything else?\n"
        f"{GUARD}\n\n{shown}{fenced(instruction)}\n\n{AS_JSON}"
        '{"classification": true} or {"classification": false}'
    )


def ask_instance(instruction: str, examples: Sequence[Seed]) -> str:
    """An input, where one is needed, and the answer."""
    shown = "".join(f"{fenced(seed.instruction)}\n{_instance_json(seed)}\n\n" for seed in examples)
    return (
        "Write one example of the instruction being followed: a concrete input if the instruction needs one (else an "
        "empty string) and the best answer, complete and correct.\n"
        f"{GUARD}\n\n{shown}{fenced(instruction)}\n\n{AS_JSON}"
        '{"input": "...", "output": "..."}'
    )


def ask_labelled(instruction: str) -> str:
    """A label first, then an input that has it."""
    return (
        "The instruction below is a classification. List its possible labels, choose one of them at random as the "
        "answer, and only then write a concrete input for which that label is right.\n"
        f"{GUARD}\n\n{fenced(instruction)}\n\n{AS_JSON}"
        '{"labels": ["..."], "output": "one of the labels", "input": "..."}'
    )


def _instance_json(seed: Seed) -> str:
    import orjson

    return orjson.dumps({"input": seed.input, "output": seed.output}).decode()

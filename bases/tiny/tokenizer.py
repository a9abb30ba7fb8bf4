"""Train the tokenizer of ``tiny``, write its configuration and encode the corpus.

Usage::

    python tokenizer.py TRAIN_JSONL OUT_DIR [--held HELD_JSONL] [--tokens TOKENS_DIR]

``OUT_DIR`` receives ``tokenizer.json``, ``tokenizer_config.json``, ``chat_template.jinja`` and ``config.json``. With
``--tokens``, the corpus is encoded too: ``train_tokens.npy`` (uint16, every document as ``<s>`` ids ``</s>``), one
``held_<source>.npy`` per source, and ``held_bytes.json`` with the UTF-8 bytes each of them stands for.

The vocabulary is byte-pair encoding in the manner of SentencePiece and Llama: a space is written as U+2581, characters
without a piece fall back to byte pieces, and nothing splits the text at encoding time. Training looks at words, digits
and punctuation apart, so no piece mixes them, every digit is its own piece and a line break is its byte piece. The
merge list has every way to build a piece out of two others, in the order of the pieces; so the ``llama`` (SPM) encoder
of llama.cpp, which joins the neighbours whose joint piece scores best, takes the same steps when the score of a piece
is minus its id. There is no space put in front of the text (``add_prefix_space`` is false), which makes encoding
exactly reversible and lets a prompt and its continuation be encoded apart.
"""

from __future__ import annotations

import argparse
import collections
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB = 4096
CONTEXT = 1024
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>")
UNK, BOS, EOS, PAD = range(4)
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
SPACE = "\u2581"
#: U+2581 stands for a space, so one that is in the text is written as ESCAPE + MARK, and ESCAPE as ESCAPE + SELF.
#: These are noncharacters, which Unicode keeps out of texts; the pairs make the mapping exact even for them.
ESCAPE, SELF, MARK = "\ufdd0", "\ufdd1", "\ufdd2"
#: Characters with a piece of their own. Everything else is written in bytes.
ALPHABET = "".join(map(chr, range(33, 127))) + SPACE + "—–£°éèêëàâäáçîïíôöóòùûüúñæœÉÈÀÇÆ€×½"
#: What training looks at as one unit: a word, a digit, a run of punctuation; each with the space before it.
UNITS = rf"'(?:s|t|re|ve|ll|d|m)(?!\p{{L}})|{SPACE}?\p{{L}}+|\p{{N}}|{SPACE}?[^\p{{L}}\p{{N}}{SPACE}\s]+|{SPACE}"

#: ChatML. Functions stand in a turn of their own before all others, one JSON object a line; an answer's reasoning
#: between ``<think>`` and ``</think>`` before what it says, its calls as JSON between ``<tool_call>`` and
#: ``</tool_call>`` after it. These tags are ordinary text: no piece of the vocabulary is spent on them.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if tools %}{{ '<|im_start|>tools' }}"
    "{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['reasoning_content'] %}"
    "{{ '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}"
    "{% endif %}"
    "{% if message['content'] %}{{ message['content'] }}{% endif %}"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '\\n' if message['content'] or not loop.first else '' }}"
    "{{ '<tool_call>\\n' + ({'name': call['function']['name'], 'arguments': call['function']['arguments']} | tojson) }}"
    "{{ '\\n</tool_call>' }}"
    "{% endfor %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "use_cache": True,
}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            yield json.loads(line)


def learn_pieces(texts: Iterable[str]) -> list[str]:
    """The pieces in the order of their ids: special, bytes, merged pieces by rank, single characters."""
    learner = Tokenizer(models.BPE(unk_token=SPECIAL[UNK]))
    learner.normalizer = normalizers.Replace(" ", SPACE)
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(UNITS), "removed", invert=True)
    alphabet = sorted(set(ALPHABET))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - len(BYTES) - len(SPECIAL) + 1,  # the learner has <unk> as its only special piece
        special_tokens=[SPECIAL[UNK]],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer=trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    merged = [piece for piece, _ in learned if len(piece) > 1 and piece != SPECIAL[UNK]]
    pieces = [*SPECIAL, *BYTES, *merged, *alphabet]
    if len(pieces) != VOCAB or len(set(pieces)) != VOCAB:
        raise ValueError(f"{len(set(pieces))} pieces instead of {VOCAB}: the text is too small to learn from")
    return pieces


def all_merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, in the order of the pieces made."""
    known = set(pieces[len(SPECIAL) + len(BYTES) :])
    merges = []
    for piece in pieces[len(SPECIAL) + len(BYTES) :]:
        cuts = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        merges += [(left, right) for left, right in cuts if left in known and right in known]
    return merges


def assemble(pieces: list[str]) -> Tokenizer:
    """The finished tokenizer."""
    vocab = {piece: number for number, piece in enumerate(pieces)}
    model = models.BPE(vocab, all_merges(pieces), unk_token=SPECIAL[UNK], fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Replace(ESCAPE, ESCAPE + SELF),
        normalizers.Replace(SPACE, ESCAPE + MARK),
        normalizers.Replace(" ", SPACE),
    ])  # fmt: skip
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace(SPACE, " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Replace(ESCAPE + MARK, SPACE),
        decoders.Replace(ESCAPE + SELF, ESCAPE),
    ])  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[(SPECIAL[BOS], BOS)]
    )
    return tokenizer


def write_json(path: Path, value: object) -> None:
    """Write indented JSON in UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_configs(out: Path) -> None:
    """The files beside ``tokenizer.json`` that transformers reads."""
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": SPECIAL[UNK],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "pad_token": SPECIAL[PAD],
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": CHAT_TEMPLATE,
    })  # fmt: skip
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    write_json(out / "config.json", MODEL)


def parameters(model: dict[str, Any]) -> int:
    """The number of weights of a Llama model without biases and with tied embeddings."""
    hidden, inner, head = model["hidden_size"], model["intermediate_size"], model["head_dim"]
    attention = hidden * head * (2 * model["num_attention_heads"] + 2 * model["num_key_value_heads"])
    layer = attention + 3 * hidden * inner + 2 * hidden
    return int(model["vocab_size"] * hidden + model["num_hidden_layers"] * layer + hidden)


def ids_of(row: dict[str, Any], tokenizer: Tokenizer) -> list[int]:
    """A row as ``<s>`` ids ``</s>``; a conversation goes through the chat template."""
    if "messages" not in row:
        return [BOS, *tokenizer.encode(row["text"], add_special_tokens=False).ids, EOS]
    start, end = SPECIAL.index("<|im_start|>"), SPECIAL.index("<|im_end|>")
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    ids = [BOS]
    for message in row["messages"]:
        content = f"{message['role']}\n{message['content']}"
        ids += [start, *tokenizer.encode(content, add_special_tokens=False).ids, end, *newline]
    return [*ids, EOS]


def encode_corpus(tokenizer: Tokenizer, train: Path, held: Path | None, out: Path) -> None:
    """Write the token files and print tokens and characters per token by source."""
    out.mkdir(parents=True, exist_ok=True)
    for side, path in (("train", train), ("held", held)):
        if path is None:
            continue
        parts: dict[str, list[np.ndarray]] = collections.defaultdict(list)
        order: list[np.ndarray] = []
        chars: collections.Counter[str] = collections.Counter()
        size: collections.Counter[str] = collections.Counter()
        for row in read_rows(path):
            ids = np.array(ids_of(row, tokenizer), dtype=np.uint16)
            text = "".join(m["role"] + m["content"] for m in row["messages"]) if "messages" in row else row["text"]
            order.append(ids)
            parts[row["source"]].append(ids)
            chars[row["source"]] += len(text)
            size[row["source"]] += len(text.encode())
        tokens = {source: np.concatenate(items) for source, items in parts.items()}
        if side == "train":
            np.save(out / "train_tokens.npy", np.concatenate(order))
        else:
            for source, array in tokens.items():
                np.save(out / f"held_{source}.npy", array)
            write_json(out / "held_bytes.json", dict(size))
        total = sum(len(array) for array in tokens.values())
        print(f"{side:<12}{'tokens':>13}{'share':>8}{'chars/token':>13}")
        for source, array in sorted(tokens.items(), key=lambda item: -len(item[1])):
            print(f"{source:<12}{len(array):>13,}{len(array) / total:>8.1%}{chars[source] / len(array):>13.3f}")
        print(f"{'all':<12}{total:>13,}{1:>8.1%}{sum(chars.values()) / total:>13.3f}\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("train", type=Path, help="train.jsonl of corpus.py")
    parser.add_argument("out", type=Path, help="folder for the tokenizer and configuration")
    parser.add_argument("--held", type=Path, help="held_out.jsonl of corpus.py, to encode")
    parser.add_argument("--tokens", type=Path, help="folder for the token files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = assemble(learn_pieces(row["text"] for row in read_rows(args.train)))
    tokenizer.save(str(args.out / "tokenizer.json"))
    write_configs(args.out)
    count = parameters(MODEL)
    print(f"{count:,} parameters, {count * 2 / 2**20:.2f} MiB at 16 bits\n")
    if args.tokens:
        encode_corpus(tokenizer, args.train, args.held, args.tokens)


if __name__ == "__main__":
    main()

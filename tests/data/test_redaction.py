"""Secrets and personal data: what is found, what is left alone, and that no text makes the search slow."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.check_digits import is_card, is_iban, is_isbn10, is_nir
from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Text, ToolCall
from affinage.data.redaction import KINDS, find, redact, redacted

# Made up; keys are put together here so that no scanner of repositories takes them for real ones.
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
FOUND = {
    "e-mail": ("write to ann.lee+news@cheese.co.uk, please", "EMAIL", "ann.lee+news@cheese.co.uk"),
    "e-mail in brackets": ("Ann <ann@cheese.org>", "EMAIL", "ann@cheese.org"),
    "international": ("call +33 1 42 68 53 00 today", "PHONE", "+33 1 42 68 53 00"),
    "with a zero": ("call +44 (0)20 7946 0958.", "PHONE", "+44 (0)20 7946 0958"),
    "French": ("tél. 01 42 68 53 00", "PHONE", "01 42 68 53 00"),
    "French with dots": ("tél. 06.12.34.56.78, merci", "PHONE", "06.12.34.56.78"),
    "French mobile": ("tél. 0612345678", "PHONE", "0612345678"),
    "American": ("(415) 555-2671", "PHONE", "(415) 555-2671"),
    "American with dashes": ("at 415-555-2671.", "PHONE", "415-555-2671"),
    "IBAN": ("GB29 NWBK 6016 1331 9268 19 is it", "IBAN", "GB29 NWBK 6016 1331 9268 19"),
    "French IBAN": ("FR1420041010050500013M02606", "IBAN", "FR1420041010050500013M02606"),
    "card": ("4111 1111 1111 1111", "CARD", "4111 1111 1111 1111"),
    "card with dashes": ("5500-0055-5555-5559", "CARD", "5500-0055-5555-5559"),
    "card of fifteen": ("3782 822463 10005", "CARD", "3782 822463 10005"),
    "NIR": ("n° 2 55 08 14 168 025 38 de", "NIR", "2 55 08 14 168 025 38"),
    "NIR of Corsica": ("1 85 05 2A 123 456 33", "NIR", "1 85 05 2A 123 456 33"),
    "SSN": ("SSN: 219-09-9999", "SSN", "219-09-9999"),
    "IP": ("from 141.214.86.38 at", "IP", "141.214.86.38"),
    "IP, version 6": ("from 2001:0db8:85a3:0:0:8a2e:370:7334", "IP", "2001:0db8:85a3:0:0:8a2e:370:7334"),
    "URL with a password": ("git clone https://ann:hunter2@cheese.org/x", "CREDENTIALS", "ann:hunter2"),
    "sk": ("key sk-" + "proj-Ab3dEf9hIj2lMn4pQr6t", "API_KEY", "sk-proj-Ab3dEf9hIj2lMn4pQr6t"),
    "ghp": ("ghp_" + "a1B2" * 9, "API_KEY", "ghp_" + "a1B2" * 9),
    "AKIA": ("AKIA" + "IOSFODNN7EXAMPLE", "API_KEY", "AKIAIOSFODNN7EXAMPLE"),
    "xox": ("xoxb-" + "12345678901-abcdef", "API_KEY", "xoxb-12345678901-abcdef"),
    "AIza": ("AIza" + "Sy0123456789abcdefghijklmnopqrstuvw", "API_KEY", "AIzaSy0123456789abcdefghijklmnopqrstuvw"),
    "bearer": ("Authorization: Bearer abcdef0123456789abcdef", "TOKEN", "abcdef0123456789abcdef"),
    "JWT": (f"cookie={JWT};", "TOKEN", JWT),
    "private key": (
        "x\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\ny",
        "PRIVATE_KEY",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ),
    "password": ("DB_HOST=x password=hunter22 next", "PASSWORD", "hunter22"),
    "quoted password": ('"password": "correcthorse"', "PASSWORD", "correcthorse"),
    "French password": ("mot de passe : azerty99", "PASSWORD", "azerty99"),
    "api_key": ("api_key = 'k3v9x0q2'", "PASSWORD", "k3v9x0q2"),
}
LEFT_ALONE = [
    "version 1.2.3.4 of", "in section 10.11.12.13 of", "at 0.0.0.0:80", "on 127.0.0.1",
    "on 12.04.2021 14:30", "1999-2003", "3.14159265358979",
    "ISBN 0201853949", "ISBN 978-0-13-468599-1", "the number 1234567890123456", "4111 1111 1111 1112", "2024-05-17T10:11:12",
    "password = getpass()", "password=password", "the password: something you know", "password: <your password>",
    "const apiKey = 'API_KEY'", "token = os.environ['TOKEN']", "a@b", "@decorator", "foo@bar", "x = y @ z.T",
    "std::vector<int>", "12:34:56:78", "at 10:20:30", "sk-learn and sk-something-without-digits-at-all", "$1,234,567.89",
    "GB29 NWBK 6016 1331 9268 18", "1 85 05 2A 123 456 34", "000-12-3456", "call 911", "1,000,000,000", "1 2 3 4 5 6 7 8 9 10",
    "555 1234", "https://cheese.org/a:b@c", "mailto:", "the AKIA of keys", "eyJ", "0 1 0 1 0 1 0 1 0 1", "10000000000000000000",
    "1.5e-10 2.5e-10", "a1b2c3d4e5f60718293a4b5c6d7e8f90", "id 550e8400-e29b-41d4-a716-446655440000", "é" * 50,
]  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_a_shape_is_found_and_nothing_around_it(name: str) -> None:
    text, kind, said = FOUND[name]
    assert [(found.kind, text[found.start : found.end]) for found in find(text)] == [(kind, said)]
    assert redact(text) == (text.replace(said, f"[{kind}]"), Counter({kind: 1}))


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert find(text) == []
    assert redact(text) == (text, Counter())


def test_every_kind_is_tested() -> None:
    assert {kind for _, kind, _ in FOUND.values()} == set(KINDS)


def test_several_in_one_text_keep_their_order_and_do_not_overlap() -> None:
    text = "ann@cheese.org 219-09-9999 https://a:b2c3d4@cheese.org ann@cheese.org"
    said, counts = redact(text)
    assert said == "[EMAIL] [SSN] https://[CREDENTIALS]@cheese.org [EMAIL]"
    assert counts == {"EMAIL": 2, "SSN": 1, "CREDENTIALS": 1}


def test_letters_that_grow_in_lower_case_shift_nothing() -> None:
    assert redact("İİİİ Bearer abcdef0123456789abcdef İ")[0] == "İİİİ Bearer [TOKEN] İ"


@given(st.text(alphabet="aZ0 9@.:/-+=_é\n()[]\"'", max_size=300))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once, _ = redact(text)
    spans = find(text)
    assert all(one.end <= two.start for one, two in itertools.pairwise(spans))
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert find(once) == [] or len(find(once)) <= len(spans)


ADVERSARIAL = {
    "letters": "a", "digits": "1", "dots": "a.", "dotted digits": "1.", "spaced digits": "1 ", "at": "@", "mails": "a@b.",
    "dashes": "1-", "colons": "a:", "schemes": "a://", "credentials": "a://b:", "hex": "0:", "capitals": "AB12", "eyJ": "eyJ",
    "jwt": "eyJaaaaaaaa.", "keys": "password=", "quotes": "password='", "bearer": "bearer ", "begin": "-----BEGIN PRIVATE KEY-----",
    "half begin": "-----BEGIN ", "sk": "sk-", "plus": "+1", "brackets": "(2", "underscores": "ghp_", "spaces": " ", 
    "keyword": "key",
}  # fmt: skip


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_time_grows_with_the_text_alone(name: str) -> None:
    piece = ADVERSARIAL[name]

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        find(text)
        return time.process_time() - began

    small, large = min(seconds(20_000) for _ in range(2)), seconds(200_000)
    assert large < 40 * max(small, 0.01), f"{small:.3f} s for 20,000 characters, {large:.3f} s for 200,000"
    assert large < 10


MAIL = "ann@cheese.org"
TURNS = (Message("user", f"I am {MAIL}"),)
RECORDS: list[tuple[Record, int]] = [
    (Text(text=f"I am {MAIL}"), 1),
    (Labelled(text=f"I am {MAIL}", label="late"), 1),
    (Labelled(text=f"I am {MAIL}", label=2.5), 1),
    (Chat(messages=(*TURNS, Message("assistant", "Hi", reasoning=f"says {MAIL}"))), 2),
    (Chat(messages=(*TURNS, Message("assistant", "", calls=(ToolCall("send", json.dumps({"to": [MAIL]})),)))), 2),
    (Prompt(messages=TURNS, reference=MAIL), 2),
    (Preference(messages=TURNS, completions=(Message("assistant", MAIL), Message("assistant", "No")), ranks=(1, 2)), 2),
    (Rated(messages=TURNS, completion=Message("assistant", MAIL), score=True), 2),
    (Pair(query=MAIL, passage=MAIL, negatives=("no", MAIL)), 3),
]


@pytest.mark.parametrize(("record", "count"), RECORDS, ids=[f"{n}-{r.kind}" for n, (r, _) in enumerate(RECORDS)])
def test_every_text_of_every_kind_is_redacted(record: Record, count: int) -> None:
    new, counts = redacted(record)
    assert counts == {"EMAIL": count}
    assert MAIL not in json.dumps(new.content())
    assert type(new) is type(record)
    assert new.source is record.source
    if isinstance(new, Labelled) and isinstance(record, Labelled):
        assert new.label == record.label


def test_a_clean_record_stays_itself() -> None:
    record = Chat(messages=(Message("user", "Hello"), Message("assistant", "Hi", calls=(ToolCall("f", '{"a":  1}'),))))
    assert redacted(record) == (record, Counter())
    assert redacted(record)[0] is record


def test_arguments_stay_json_also_where_a_number_was_found() -> None:
    call = ToolCall("pay", '{"card": 4111111111111111, "to": "ann@cheese.org", "sum": 3}')
    record, counts = redacted(Chat(messages=(Message("user", "Pay"), Message("assistant", "", calls=(call,)))))
    arguments = json.loads(record.messages[1].calls[0].arguments)
    assert arguments == {"card": "[CARD]", "to": "[EMAIL]", "sum": 3}
    assert counts == {"CARD": 1, "EMAIL": 1}


def test_check_digits() -> None:
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE89 3704 0044 0532 0130 01")
    assert not is_iban("ZZ89 3704 0044 0532 0130 00")
    assert is_card("378282246310005")
    assert not is_card("0000 0000 0000 0000")
    assert is_nir("255081416802538")
    assert not is_nir("255081416802539")
    assert is_isbn10("0201853949")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "most"),
    [("textbooks_en", 9), ("novels_fr", 0), ("gsm8k", 0), ("banking77", 0), ("sst2", 0), ("wikitext2", 0)],
)
def test_plain_prose_gives_next_to_nothing(name: str, most: int, shared: Path) -> None:
    import gzip

    found = []
    for path in sorted((shared / "data" / name).iterdir()):
        if "README" in path.name:
            continue
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "replace")
        found += [
            (span.kind, line[span.start : span.end]) for line in text[:6_000_000].split("\n") for span in find(line)
        ]
    assert len(found) <= most, found

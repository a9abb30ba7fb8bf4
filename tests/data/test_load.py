"""From files to records: counts, duplicates, mixed kinds, and the real sets."""

from __future__ import annotations

import gc
import gzip
from collections import Counter
from pathlib import Path

import pytest

from affinage.data.labels import label_map, label_matrix, names_of, task_of
from affinage.data.load import load_records
from affinage.data.records import Labelled, Text
from affinage.errors import AffinageError, InputError


def write(folder: Path, **files: str) -> list[Path]:
    paths = []
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_text(content)
        paths.append(path)
    return paths


def test_every_row_is_a_record_or_a_drop(tmp_path: Path) -> None:
    rows = '{"text":"a","label":"x"}\n{"text":"","label":"x"}\n{"text":"a","label":"x"}\n{"text":"b","label":"y"}\n'
    paths = write(tmp_path, one_jsonl=rows, two_csv="text,label\nb,y\nc,x\n")
    loaded = load_records(paths)
    assert loaded.kind == "labelled"
    assert [str(record.source) for record in loaded.records] == [
        f"{paths[0]}:1", f"{paths[0]}:4", f"{paths[1]}:3",
    ]  # fmt: skip
    assert [drop.reason for drop in loaded.drops] == ["empty-text", "duplicate", "duplicate"]
    assert loaded.drops[1].detail == f"the same as {paths[0]}:1"
    assert loaded.drops[1].record_id == loaded.records[0].id
    assert loaded.read == 6
    assert loaded.layouts[str(paths[1])] == "text/label: label `label` of text `text`"


def test_damage_stops_or_is_counted(tmp_path: Path) -> None:
    paths = write(tmp_path, a_jsonl='{"text":"a"}\n{"text":\n{"text":[1]}\n{"x":1}\n{"text":"b"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: column"):
        load_records(paths)
    loaded = load_records(paths, bad_rows="drop")
    assert Counter(drop.reason for drop in loaded.drops) == {"malformed": 1, "wrong-type": 1, "missing-column": 1}
    assert loaded.read == 5


def test_wrong_types_are_found_far_down(tmp_path: Path) -> None:
    rows = "".join(f'{{"text":"row {number}"}}\n' for number in range(500))
    with pytest.raises(InputError, match=r"a\.jsonl:501: `text` must be text, found a number"):
        load_records(write(tmp_path, a_jsonl=rows + '{"text":7}\n'))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text":""}\n{"text":" "}\n', "no row is left to learn from; dropped: empty-text 2"),
        ("\n\n", "no rows"),
    ],
)
def test_nothing_left_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_records(write(tmp_path, a_jsonl=content))


def test_mixed_kinds_name_a_row_of_each(tmp_path: Path) -> None:
    paths = write(tmp_path, a_jsonl='{"text":"a"}\n', b_jsonl='{"text":"a","label":"x"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:1 is text, .*b\.jsonl:1 is labelled"):
        load_records(paths)
    assert load_records(paths[1:], columns={"text": "text"}).kind == "text"


def test_layouts_of_one_kind_go_together(tmp_path: Path) -> None:
    paths = write(tmp_path, a_jsonl='{"prompt":"a","completion":"b"}\n', b_csv="instruction,output\nq,a\n")
    assert len(load_records(paths).records) == 2


def test_text_files_stand_beside_a_mapped_table(tmp_path: Path) -> None:
    paths = write(tmp_path, a_txt="hello", b_csv="notes,x\nhi,1\n")
    assert [record.kind for record in load_records(paths, columns={"text": "notes"}).records] == ["text", "text"]


REAL: dict[str, tuple[str, int, dict[str, int]]] = {
    "alpaca_en_sample/alpaca_en_sample.jsonl.gz": ("chat", 985, {"duplicate": 14}),
    "self_instruct_seed": ("chat", 175, {}),
    "vigogne_fr/gt_doremiti.jsonl": ("chat", 28, {}),
    "vigogne_fr/oasst1_fr_top1.jsonl": ("chat", 208, {}),
    "vigogne_fr/seed_tasks_fr.jsonl": ("chat", 175, {}),
    "vigogne_fr": ("chat", 411, {}),
    "sst2/train.jsonl": ("labelled", 6911, {"duplicate": 9}),
    "sst2/dev.jsonl": ("labelled", 872, {}),
    "sst2/test.jsonl": ("labelled", 1821, {}),
    "trec/train.jsonl": ("labelled", 5381, {"duplicate": 71}),
    "trec/test.jsonl": ("labelled", 500, {}),
    "ag_news": ("labelled", 4000, {}),
    "banking77/train.jsonl": ("labelled", 10003, {}),
    "banking77/test.jsonl": ("labelled", 3080, {}),
    "ohsumed": ("labelled", 3357, {}),
    "newsgroups20": ("labelled", 11314, {}),
    "gsm8k": ("chat", 7473, {}),
    "xquad_en": ("chat", 1188, {"duplicate": 2}),
    "novels_fr": ("text", 45, {}),
    "novels_en": ("text", 72, {}),
    "tinystories_sample": ("text", 800, {}),
    "textbooks_en": ("text", 1104, {}),
    "tinyshakespeare": ("text", 2, {}),
    "wikitext2/valid.txt.gz": ("text", 1, {}),
    "t0_sample": ("chat", 9551, {}),
    "medquad/qa.jsonl.gz": ("chat", 14769, {"duplicate": 46}),
    "medquad/text.jsonl.gz": ("text", 4958, {"duplicate": 3}),
    "pubmedqa": ("text", 500, {}),
    "frenchmedmcqa/train.jsonl": ("chat", 2168, {"duplicate": 3}),
    "morfitt_fr/train.jsonl.gz": ("labelled", 1514, {}),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_sets(shared: Path, name: str) -> None:
    kind, count, drops = REAL[name]
    loaded = load_records([shared / "data" / name])
    assert (loaded.kind, len(loaded.records)) == (kind, count)
    assert Counter(drop.reason for drop in loaded.drops) == drops


@pytest.mark.real
def test_real_columns(shared: Path) -> None:
    source = shared / "data/pubmedqa/train.jsonl.gz"
    texts = load_records([source], columns={"text": "contexts"})
    assert (texts.kind, texts.read) == ("text", 500)
    answers = load_records([source], columns={"prompt": "question", "response": "long_answer"})
    assert (answers.kind, answers.read) == ("chat", 500)
    decisions = load_records([source], columns={"text": "question", "label": "final_decision"})
    assert (decisions.kind, decisions.read) == ("labelled", 500)


@pytest.mark.real
@pytest.mark.parametrize("folder", ["messy_tables", "messy_annotation_files", "documents"])
@pytest.mark.parametrize("bad_rows", ["error", "drop"])
def test_messy_files_give_rows_or_one_message(shared: Path, folder: str, bad_rows: str) -> None:
    for path in sorted((shared / "data" / folder).rglob("*")):
        if not path.is_file():
            continue
        try:
            loaded = load_records([path], bad_rows="drop" if bad_rows == "drop" else "error")
            assert loaded.read == len(loaded.records) + len(loaded.drops) > 0
        except AffinageError as error:
            assert error.fix  # noqa: PT017 - any other exception fails the test by itself


@pytest.mark.real
def test_every_real_file_of_json_lines_is_read_or_refused_in_words(shared: Path) -> None:
    refused = set()
    for path in sorted((shared / "data").rglob("*.jsonl*")):
        try:
            loaded = load_records([path], bad_rows="drop")
            assert loaded.read == len(loaded.records) + len(loaded.drops) > 0
        except AffinageError as error:
            refused.add(path.name)
            assert error.fix  # noqa: PT017 - any other exception fails the test by itself
    assert refused == {"example_overlapping.jsonl"}  # spans of labels


@pytest.mark.real
def test_real_labels_are_several_a_row(shared: Path) -> None:
    labelled = [r for r in load_records([shared / "data/morfitt_fr/dev.jsonl.gz"]).records if isinstance(r, Labelled)]
    assert task_of(labelled) == "multi"
    labels = label_map(labelled)
    assert len(labels) == 12
    assert label_matrix(labelled, labels).sum() == sum(len(names_of(record.label)) for record in labelled) > 1022


def test_redaction_comes_before_duplicates_are_looked_for(tmp_path: Path) -> None:
    paths = write(tmp_path, a_jsonl='{"text":"mail jo@example.org"}\n{"text":"mail al@example.org"}\n{"text":"no"}\n')
    loaded = load_records(paths, redact=True)
    assert [record.text for record in loaded.records if isinstance(record, Text)] == ["mail [EMAIL]", "no"]
    assert loaded.redactions == {"EMAIL": 2}
    assert [drop.reason for drop in loaded.drops] == ["duplicate"]
    assert load_records(paths).redactions == {}


def test_labels_split_and_the_kind_of_label_stays_one_in_a_file(tmp_path: Path) -> None:
    paths = write(tmp_path, a_csv="text,label\na,x;y\nb,y\n")
    loaded = load_records(paths, label_separator=";")
    assert [record.label for record in loaded.records if isinstance(record, Labelled)] == [("x", "y"), ("y",)]


def test_documents_are_read_together_with_what_was_taken_out(tmp_path: Path) -> None:
    page = "<html><body><nav>Home</nav><article><p>{}</p></article></body></html>"
    for name, words in (("a", "Rennet curdles the milk. " * 20), ("b", "Brine makes the rind. " * 20)):
        (tmp_path / f"{name}.html").write_text(page.format(words))
    (tmp_path / "c.txt").write_text("plain")
    loaded = load_records([tmp_path])
    assert [record.kind for record in loaded.records] == ["text"] * 3
    assert loaded.layouts[str(tmp_path / "a.html")] == "document: its clean text"
    assert loaded.read == 3


def test_a_workbook_that_is_no_table_is_read_as_a_document(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["Cheese", "Months"], ["Comté", 18], ["Mimolette", 12]):
        book.active.append(row)
    book.save(tmp_path / "cheese.xlsx")
    loaded = load_records([tmp_path / "cheese.xlsx"])
    assert loaded.kind == "text"
    assert any("no table of a known layout" in note for note in loaded.notes)
    with pytest.raises(InputError, match="no column 'month'"):
        load_records([tmp_path / "cheese.xlsx"], columns={"text": "month"})
    texts = load_records([tmp_path / "cheese.xlsx"], columns={"text": "Cheese"}).records
    assert [record.text for record in texts if isinstance(record, Text)] == ["Comté", "Mimolette"]


def test_the_collector_runs_again_after_loading(tmp_path: Path) -> None:
    paths = write(tmp_path, a_jsonl='{"text":"a"}\n{"text":7}\n')
    with pytest.raises(InputError):
        load_records(paths)
    assert gc.isenabled()


def test_gz_and_bom_and_folder_together(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'\xef\xbb\xbf{"text":"a"}\n'))
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.md").write_text("c")
    loaded = load_records([tmp_path])
    assert [drop.reason for drop in loaded.drops] == ["empty-text"]
    assert len(loaded.records) == 2

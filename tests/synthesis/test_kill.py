"""kill -9 at any moment: the same command goes on and asks for nothing that was answered before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.synthesis.conftest import Serve
from tests.synthesis.server import Said, good_teacher, key_of

ROOT = Path(__file__).resolve().parents[2]


def command(out: Path, url: str) -> subprocess.Popen[bytes]:
    seeds = out.parent / "seeds.jsonl"
    rows = [{"instruction": f"Tell about the river number {number} in the north"} for number in range(12)]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["synthesize", seeds, "--teacher", url, "--out", out, "--method", "critique", "--concurrency", "2"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "affinage", *map(str, words)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_killed_job_repeats_no_call(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body, number: Said(good_teacher(body), delay=0.02))
    out = tmp_path / "rows.jsonl"
    journal = tmp_path / "rows.journal"
    for lines in (8, 30):
        process = command(out, server.url)
        while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        assert not out.exists()
        time.sleep(0.1)  # what was on its way arrives
    asked = {key_of(body): body for body in server.requests}
    kept = journal.read_bytes().count(b"\n")
    before = len(server.requests)
    process = command(out, server.url)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"going on: {kept} calls are answered already".encode() in said
    # two calls may have been on their way at each kill; everything that had been answered is not asked again
    assert len(server.requests) - before == 60 - kept
    assert sum(count - 1 for count in server.counts.values()) <= 4
    assert len(asked | {key_of(body): body for body in server.requests}) == 60
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 12
    straight = command(tmp_path / "straight.jsonl", server.url)
    straight.communicate(timeout=60)
    done = {key_of(body) for body in server.requests}
    assert len(done) == 60
    again = [json.loads(line) for line in (tmp_path / "straight.jsonl").read_text().splitlines()]
    for row in (*rows, *again):
        del row["lineage"]["time"]
    assert rows == again

"""The door of the command line: help, messages, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from affinage.cli import main as door
from affinage.errors import GateError, InputError, RunError
from tests.cli.calling import Call

HEAVY = ("torch", "transformers", "numpy", "pydantic", "yaml", "peft", "sklearn", "matplotlib", "pyarrow", "datasets")


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from affinage.cli.main import main
assert main(["--help"]) == 0
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "tune" in done.stdout


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = f"import sys, affinage; dir(affinage); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_module_runs_as_the_script_does() -> None:
    done = subprocess.run([sys.executable, "-m", "affinage", "tun"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'tune'?" in done.stderr


@pytest.mark.parametrize("name", door.COMMANDS)
def test_each_command_is_there_and_explains_itself(name: str, call: Call) -> None:
    module, _, attribute = door.COMMANDS[name][0].partition(":")
    assert hasattr(import_module(module), attribute)
    result = call(name, "--help")
    assert result.code == 0
    assert "--json" in result.out or "COMMAND" in result.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tun",), "Did you mean 'tune'?"),
        (("tune", "x.jsonl", "--modle", "tiny"), "Did you mean '--model'?"),
        (("tune", "x.jsonl", "--set", "ranc=2"), "Did you mean 'rank'?"),
        (("tune", "x.jsonl", "--set", "head.dept=2"), "Did you mean 'depth'?"),
        (("tune", "x.jsonl", "--set", "rank"), "expected key=value"),
        (("tune", "x.jsonl", "--set", "rank=many"), "rank = 'many'"),
        (("tune", "x.jsonl", "--objective", "sfd"), "'classify', 'dpo' or 'reward'"),
        (("tune",), "no data given"),
        (("tune", "x.jsonl"), "x.jsonl: no such file"),
        (("tune", "missing.yaml"), "cannot read the recipe missing.yaml"),
        (("tune", "missing.yaml", "x.jsonl"), "it names its data itself"),
        (("tune", "--resume", "nothing"), "there is no run in nothing"),
        (("tune", "x.jsonl", "--resume", "nothing"), "--resume takes no other settings"),
        (("recipe", "explain", "rnk"), "Did you mean 'rank'?"),
        (("recipe", "explian"), "Did you mean 'explain'?"),
        (("runs", "show", "nothing"), "there is no run in nothing"),
        (("runs", "delete", "nothing", "--yes"), "there is no run in nothing"),
        (("runs", "--below", "nothing"), "no such folder"),
        (("eval", "nothing"), "there is no run in nothing"),
        (("compare", "nothing"), "one run alone"),
        (("compare", "nothing", "neither"), "there is no run in nothing"),
        (("predict", "nothing", "x.jsonl", "--out", "y.jsonl"), "there is no run in nothing"),
        (("predict", "nothing", "x.jsonl"), "Missing option '--out'"),
        (("encode", "x.jsonl", "--out", "y.txt"), "cannot write .txt"),
        (("encode", "x.jsonl", "--out", "y.npy", "--pooling", "men"), "'men'"),
        (("merge", "nothing", "--out", "there"), "there is no run in nothing"),
    ],
)
def test_a_mistake_gives_one_message_and_code_2(words: tuple[str, ...], said: str, call: Call) -> None:
    result = call(*words)
    assert result.code == 2
    assert said in result.err
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("rank = 0", fix="take 8"), 2, "error: rank = 0\n  -> take 8\n"),
        (RunError("the loss is not a number"), 1, "error: the loss is not a number\n"),
        (GateError("logits differ"), 3, "error: logits differ\n"),
        (ZeroDivisionError("division\nby zero"), 1, "unexpected: ZeroDivisionError: division by zero"),
        (MemoryError(), 1, "error: out of memory\n  -> "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "error: out of memory"),
        (OSError(28, "No space left on device", "model.safetensors"), 1, "no space left to write model.safetensors"),
        (PermissionError(13, "Permission denied", "runs"), 2, "no permission: runs"),
    ],
)
def test_every_error_has_its_code_and_words(
    error: Exception, code: int, said: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "app", _raising(error))
    result = call("tune")
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in call("tune", "--debug").err
    assert call("tune", "--json").json["error"]["exit_code"] == code


def test_a_closed_pipe_is_no_news() -> None:
    code = "from affinage.cli.main import main; import sys; sys.exit(main(['recipe', 'explain']))"
    command = f'"{sys.executable}" -c "{code}" | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("model:")
    assert done.stderr == ""


def test_version(call: Call) -> None:
    result = call("--version")
    assert (result.code, result.out.split()[0]) == (0, "affinage")


def _raising(error: Exception) -> object:
    def app(*args: object, **settings: object) -> None:
        raise error

    return app

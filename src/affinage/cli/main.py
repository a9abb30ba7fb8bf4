"""The command line's door: which commands there are, and what becomes of every error.

Nothing heavy is imported here: a command's module is imported when the command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from affinage.cli.quiet import silence
from affinage.errors import AffinageError, nearest

# name: (module:attribute, its help in one line)
COMMANDS = {
    "demo": ("affinage.cli.demo:demo", "The journey on the bundled base and example data, offline."),
    "tune": ("affinage.cli.tune:tune", "Adapt a model to your data and measure what changed."),
    "recipe": ("affinage.cli.recipe:app", "Write a commented recipe, or explain its keys."),
    "inspect": ("affinage.cli.inspect:inspect", "Look at data before tuning: counts, findings, rows as tokens."),
    "runs": ("affinage.cli.runs:app", "List, show, plot and delete runs."),
    "eval": ("affinage.cli.evaluate:evaluate", "Before and after of a run, stored or measured on other data."),
    "compare": ("affinage.cli.compare:compare", "Runs side by side, with intervals and samples."),
    "predict": ("affinage.cli.predict:predict", "Apply a run to every row of a file."),
    "encode": ("affinage.cli.encode:encode", "Turn texts into vectors."),
    "chat": ("affinage.cli.chat:chat", "Talk to a run."),
    "synthesize": ("affinage.cli.synthesize:synthesize", "Make instruction data with another model."),
    "merge": ("affinage.cli.merge:merge", "Write a run's adapter into its base, proven equal."),
}

_UsageError: Any = typer.BadParameter.__mro__[1]
_ClickError: Any = typer.BadParameter.__mro__[2]


class LateCommand(TyperCommand):
    """A name and a line of help; the real command is imported when it is called."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self.target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load_command(self.name or "", self.target).make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """The table above as a group of commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (target, summary) in COMMANDS.items():
            self.add_command(LateCommand(name, target, summary))


def load_command(name: str, target: str) -> Any:
    """The typer command behind `module:attribute`, which is a function or a typer app."""
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands, name="affinage", add_completion=False, no_args_is_help=True, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and all warnings (any place on the line).")
    ] = False,
) -> None:
    """Adapt a language model to your own data, with proof of what changed. Start: `affinage demo`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code (0 done, 1 failed, 2 wrong input, 3 a gate said no, 130 interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    ours = words[: words.index("--")] if "--" in words else words
    debug, as_json = "--debug" in ours, "--json" in ours
    if debug:
        words.remove("--debug")
    silence(debug=debug)
    if words[:1] == ["--version"]:
        from importlib.metadata import version

        print(f"affinage {version('affinage')}")
        return 0
    try:
        code = app(words, standalone_mode=False, prog_name="affinage")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        return _closed_pipe()
    except Exception as error:
        return _report(error, debug=debug, as_json=as_json)


def _report(error: Exception, *, debug: bool, as_json: bool) -> int:
    """Say on stderr what went wrong and what to do; the exit code."""
    message, fix, code = explain(error)
    if debug and not isinstance(error, _ClickError):
        traceback.print_exception(error)
    if not message:
        return code
    print(f"error: {message}", file=sys.stderr)
    if fix:
        print(f"  -> {fix}", file=sys.stderr)
    if as_json:
        from affinage.cli.output import print_json

        print_json({"error": {"message": message, "fix": fix, "exit_code": code}})
    return code


def explain(error: BaseException) -> tuple[str, str, int]:
    """What to say of an error, what to do about it, and the exit code."""
    if isinstance(error, AffinageError):
        return error.message, error.fix, error.exit_code
    if isinstance(error, typer.Abort):
        return "stopped, nothing was done", "", 1
    if isinstance(error, _ClickError):
        return _usage(error)
    name = type(error).__name__
    memory = "OutOfMemory" in name or "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or memory:
        return "out of memory", "try a smaller --set micro_tokens, --train lora, or a smaller model", 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left to write {error.filename or ''}".rstrip(),
            "free some space; what was saved before is intact",
            1,
        )
    if isinstance(error, PermissionError):
        return f"no permission: {error.filename}", "choose another place, or change its permissions", 2
    text = " ".join(str(error).split())[:500]
    return f"unexpected: {name}: {text}", "run again with --debug for the traceback", 1


def _usage(error: Any) -> tuple[str, str, int]:
    """A mistake on the command line, the nearest known option beside it."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        return "", "", 2
    path = context.command_path if context else "affinage"
    message = str(error.format_message()).rstrip(".")
    wrong = getattr(error, "option_name", None)
    if wrong and context:
        known = [name for parameter in context.command.params for name in parameter.opts]
        message = f"{path}: no such option {wrong}.{nearest(wrong, [*known, '--help', '--debug'])}"
    elif "Did you mean" in message:
        message += "" if message.endswith("?") else "?"
    return message, f"see {path} --help", 2


def _closed_pipe() -> int:
    """The reader of our output left (`| head`): leave too, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1

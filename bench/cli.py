"""The command line: Click only. A command's module is imported when the command is asked for."""

import atexit
import importlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from sslbench.bench.errors import SSLBenchError

# Short help stands here so that `sslbench --help` imports no command.
COMMANDS = {
    "fit": "Predict whether a recipe fits a machine, and how fast it runs there.",
    "choose": "Rank machines for a recipe: which fits, how fast, at what cost.",
    "profile": "Measure a recipe's step on this machine.",
    "snapshot": "Store what a step costs and where, for `compare` to check.",
    "export": "Write a recipe's step as an ONNX model.",
    "compare": "Compare records or a snapshot: did it get worse, and where?",
    "ab": "Measure two git revisions of a step in turns, and compare them.",
    "history": "Trends of measured records, and the commits at which they changed.",
    "report": "Render records as one self-contained HTML file.",
    "verify": "Check whether the figures of a report hold.",
    "recipes": "List, search and show the recipes of the catalog.",
    "probe": "Measure this machine, so that predictions for it rest on its own figures.",
    "machines": "List, search and show machine profiles.",
    "validate": "Predictions against measurements: the tool's own accuracy.",
    "demo": "Measure small recipes here, predict large ones, write report.html.",
}
EXIT_COULD_NOT_RUN = 2


class CommandLine(click.Group):
    """Loads commands on demand and turns errors into one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order that a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported from its module."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sslbench.bench.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101 - a programming error, not a user's
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from their short help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line on stderr and exit code 2."""
        try:
            return super().invoke(ctx)
        except SSLBenchError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"sslbench: {' '.join(str(error).split())}", err=True)
            ctx.exit(EXIT_COULD_NOT_RUN)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sslbench", prog_name="sslbench")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Will it run there, how fast does it run here, did it get worse?

    Predicts and measures the memory and time of self-supervised learning steps (BERT, SimCLR, ...).
    """


def run() -> NoReturn:
    """Entry point of the `sslbench` script: `main`, after which the process ends at once."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was begun is tidied up
    try:
        main()
    except SystemExit as leaving:
        _leave(leaving.code if isinstance(leaving.code, int) else 0)


def main() -> NoReturn:
    """The command line of this process.

    Raises:
        SystemExit: always, with the exit code.
    """
    try:
        result = cli.main(prog_name="sslbench", standalone_mode=False)  # an exit code where a command called ctx.exit
    except click.ClickException as error:
        click.echo(f"sslbench: {' '.join(error.format_message().split())}", err=True)
        sys.exit(EXIT_COULD_NOT_RUN)
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):  # the reader had enough
            # An error of standard output names no file.
            problem = str(error) if error.filename else f"the answer cannot be printed: {error.strerror}"
            click.echo(f"sslbench: {problem}", err=True)
        sys.exit(EXIT_COULD_NOT_RUN)
    except (click.Abort, KeyboardInterrupt):
        click.echo("sslbench: interrupted", err=True)
        sys.exit(EXIT_COULD_NOT_RUN)
    sys.exit(result if isinstance(result, int) else 0)


def _drop_output() -> None:
    """Lead standard output nowhere, so that what is still to be written raises nothing at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(code: int) -> NoReturn:
    """End the process; where torch is loaded, without taking it apart module by module, which takes half a second."""
    if "torch" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()  # what is registered to happen at the end still does
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

"""The command line: `perdure`. A room for each subject; nothing heavy is imported before it is used."""

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name. Exits with a code from `perdure.cli.outcome.Exit`."""
    import sys
    from io import TextIOWrapper

    from .commands import hang, typed
    from .root import root

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that cannot show a letter must not end us
    hang(typed(sys.argv[1:]))
    root(prog_name="perdure")

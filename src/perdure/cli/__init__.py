"""The command line: `perdure`. One file for each group of commands; nothing heavy is imported before it is used."""

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name. Exits with a code from `perdure.cli.outcome.Exit`."""
    from .root import root

    root(prog_name="perdure")

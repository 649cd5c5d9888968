"""`python -m perdure.cli` is `perdure`: how the CLI starts itself as a child."""

from perdure.cli import main

main()

"""The workload as users of other systems would write it. These run in `.venv-bench`, and know nothing of Perdure."""

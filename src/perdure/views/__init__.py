"""What people read of a store, once for the command line, the API and the dashboard: functions that return values.

Each noun has its module, imported whole: `from perdure.views import runs`.
"""

__all__: list[str] = []

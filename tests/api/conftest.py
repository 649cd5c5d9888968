import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The plugin that makes tests of a document, only where one is: it is not there for the frameworks' matrix."""
    config.pluginmanager.import_plugin("schemathesis.pytest.plugin")

import pytest

# The suite is library code, so pytest would show its failures without the values.
pytest.register_assert_rewrite("perdure.testing.conformance")

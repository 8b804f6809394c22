"""Failures in what several test files share are told as in the tests themselves."""

import pytest

pytest.register_assert_rewrite("prepared_cases", "promises")

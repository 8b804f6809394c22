"""Failures in what the tests here share are told as in the tests themselves."""

import pytest

pytest.register_assert_rewrite("runs")

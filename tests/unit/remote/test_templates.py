"""Values in shell scripts."""

from __future__ import annotations

from tasks.remote.templates import fill


def test_each_placeholder_gets_its_value_and_the_rest_of_the_shell_stays() -> None:
    script = 'run "$@" @SECONDS@ ${a%@*} @NAME@ @SECONDS@'
    assert fill(script, SECONDS=20, NAME="x") == 'run "$@" 20 ${a%@*} x 20'

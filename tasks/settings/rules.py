"""The rules that say which tags may be deleted, and how long what is deleted waits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.settings.types import matching, tuple_from_list

Pattern = Annotated[str, matching("[A-Za-z0-9._/*?-]+", 255)]
"""A name in which `*` stands for any text and `?` for one character."""

Count = Annotated[int, Field(ge=1, le=10000)]


class RetentionRule(BaseModel):
    """One rule: it keeps all that it matches (`keep`), or the newest (`keep_last`) and the youngest (`keep_days`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    repositories: Pattern
    tags: Pattern = "*"
    keep: Literal[True] | None = None
    keep_last: Count | None = None
    keep_days: Count | None = None

    @model_validator(mode="after")
    def _check_keep(self) -> RetentionRule:
        """Refuse a rule that would delete all, or that says two things."""
        if (self.keep is None) == (self.keep_last is None and self.keep_days is None):
            raise ValueError
        return self

    def matches(self, repository: str, tag: str) -> bool:
        """Return whether this rule is about a tag."""
        return fnmatchcase(repository, self.repositories) and fnmatchcase(tag, self.tags)

    def __str__(self) -> str:
        """Return the rule as it is written in an inventory."""
        values = ", ".join(f'"{key}": {_literal(value)}' for key, value in self if value is not None)
        return f"{{{values}}}"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


Retention = Annotated[
    tuple[RetentionRule, ...],
    BeforeValidator(tuple_from_list),
    Field(
        description='a list of rules, each a dict with "repositories" and maybe "tags" (patterns with * and ?), and '
        'with "keep_last", "keep_days" (whole numbers, 1 to 10000) or both, or with "keep": True'
    ),
]
DaysOrNone = Annotated[
    Annotated[int, Field(ge=0, le=36500)] | None,
    Field(description="None or a whole number of days, 0 to 36500"),
]
TrashDays = Annotated[int, Field(ge=0, le=365, description="a whole number of days, 0 to 365")]
GraceMinutes = Annotated[int, Field(ge=0, le=10080, description="a whole number of minutes, 0 to 10080")]

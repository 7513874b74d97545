"""How people are told where a draft token stands. They count from 1; records and JSON count from 0."""

from __future__ import annotations

# Of CSV files, which people open: step, place in the draft, place in the summary.
COLUMNS = ("step_from_1", "place_in_draft_from_1", "place_in_summary_from_1")


def counted(step: int, offset: int, position: int) -> tuple[int, int, int]:
    """The three as people count: step, place in the step's draft, place in the summary, each given from 0."""
    return step + 1, offset + 1, position + 1


def where(step: int, offset: int, position: int) -> str:
    """`step 3, place 2 in the draft, place 7 in the summary`, of numbers from 0."""
    return "step {}, place {} in the draft, place {} in the summary".format(*counted(step, offset, position))

"""What `doctor --probe` learnt of an account, and what follows from it for plans and drift runs. Pure.

Law: an answer may save a call or add a warning. It decides nothing about what is ours, changed or deleted, so that a
ledger that holds false ones does no harm.

answer                                     what follows
----------------------------------------   -----------------------------------------------------------------
a write of tags or secrets moves nothing   what an upload's reply said still holds after one: no reading again
a write of any kind moves nothing          a change by hand of that kind shows in no listing: a warning
omitted tags are kept                      nothing: every upload of ours names all of them
the others                                 nothing yet: `doctor` shows them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.errors import Problem, Severity

PROBED_ON = "probed_on"
NOTHING = "nothing"
MOVABLE = ("etag", "modified_on")  # of a row in the listing

# The writes that someone else may make, beside an upload of code.
_WRITES = {
    "settings_write_moves": "of settings (limits, bindings, observability)",
    "tags_write_moves": "of tags",
    "secret_write_moves": "of secrets",
}
_TOLD = {
    "missing_script": "a script that is not there is answered with",
    "same_upload_moves": "the same upload again moves",
    "settings_write_moves": "a write of settings moves",
    "tags_write_moves": "a write of tags moves",
    "secret_write_moves": "a write of secrets moves",
    "limits_read_back": "limits can be read back",
    "omitted_secrets": "secrets that an upload does not mention are",
    "omitted_tags": "tags that an upload does not mention are",
    "ninth_tag": "the ninth tag is",
    "page_size": "rows of a page, when no limit is asked for",
}


def moves_nothing(answers: Mapping[str, str], *writes: str) -> bool:
    """Whether it is proven that none of these writes ("tags", "secret") moves etag or time of change."""
    return all(answers.get(f"{write}_write_moves") == NOTHING for write in writes)


def blind_spots(answers: Mapping[str, str], *, tags_in_rows: bool) -> Iterator[Problem]:
    """What drift cannot be seen in this account's listing, as warnings. Tags that rows carry are compared as such."""
    unseen = [
        told
        for question, told in _WRITES.items()
        if answers.get(question) == NOTHING and not (question == "tags_write_moves" and tags_in_rows)
    ]
    if unseen:
        yield Problem(
            f"changes by hand {' and '.join(unseen)} do not show in this account's listing",
            severity=Severity.WARNING,
            why=f"`doctor --probe` saw on {answers.get(PROBED_ON, 'an unknown day')} that they move neither the etag "
            "nor the time of change",
            fix="read back with --verify N, a part in each run, or --verify all",
            code="blind-spot",
        )


def told(answers: Mapping[str, str]) -> Iterator[str]:
    """Each answer as a sentence; of others, which a ledger may hold, none."""
    return (f"{words}: {answers[question]}" for question, words in _TOLD.items() if question in answers)

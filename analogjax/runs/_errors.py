"""The error of a wrong input: the command prints its sentence and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """What was asked for cannot be done; the message is one sentence that says why.

    The command prints it as `error: ...` without a traceback and exits with code 2. Anything that
    reports a missing file, a wrong key or an impossible wish to a user may raise it.
    """


def is_wrong_input(error: BaseException) -> bool:
    """Return whether an error is the user's mistake, not the program's.

    The checks of the package's arguments say "Argument `x` must be ...": a value of the
    configuration that reaches them is a wrong input, too.
    """
    return isinstance(error, UsageError) or (
        isinstance(error, ValueError) and str(error).startswith("Argument `")
    )


def sentence(error: BaseException) -> str:
    """Return an error as one line: its sentence, after its kind where that is not the user's."""
    text = " ".join(str(error).split())
    return text if is_wrong_input(error) else f"{type(error).__name__}: {text}".removesuffix(": ")


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return " (did you mean `...`?)" for the nearest choice, or nothing if none is near.

    Args:
        word: What was written.
        choices: What may be written.

    Returns:
        The hint, to be put before the full stop of a sentence.
    """
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean `{near[0]}`?)" if near else ""

"""What may go wrong at an endpoint, and what that means for the request."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import openai

from tsbench.models.base import NOTHING, UNKNOWN
from tsbench.types import Status, Usage

PRESSED = (429, 503)
"""The endpoint is asked too much."""
PASSING = (408, 409, 425, 429)
"""Client errors that may pass by themselves, as every error of the server may."""
SPENT = "insufficient_quota"
"""The code of a refusal that no waiting ends."""


class Garbage(ValueError):  # noqa: N818
    """An answer of another shape than was asked for, and what it says that it used."""

    def __init__(self, reason: str, usage: Usage = UNKNOWN) -> None:
        super().__init__(reason)
        self.usage = usage


class Fault(Exception):  # noqa: N818
    """An attempt that gave no answer.

    `again`: another attempt may help. `paid`: the endpoint may have generated tokens for it;
    `wasted` is what it used, None where that is not known. `pressed`: the endpoint is asked too
    much, and `after` is how many seconds it wants to be left alone, None where it did not say.
    """

    def __init__(
        self,
        reason: str,
        status: Status = "error",
        *,
        again: bool = False,
        wasted: Usage = NOTHING,
        pressed: bool = False,
        after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.status, self.again = reason, status, again
        self.wasted, self.pressed, self.after = wasted, pressed, after

    @property
    def paid(self) -> bool:
        """Whether tokens may have been generated for nothing."""
        return self.wasted != NOTHING


def fault(error: Exception) -> Fault:
    """Return what an exception of an attempt means."""
    if isinstance(error, TimeoutError):
        return Fault("no answer in time", "timeout", again=True, wasted=UNKNOWN)
    if isinstance(error, Garbage):
        return Fault(str(error), again=True, wasted=error.usage)
    if isinstance(error, openai.APIStatusError):
        return refused(error)
    if isinstance(error, openai.APIConnectionError):
        cause = deepest(error)
        unreached = isinstance(cause, ConnectionRefusedError)
        reason = f"the connection broke: {type(cause).__name__}: {cause}"
        return Fault(reason, again=True, wasted=NOTHING if unreached else UNKNOWN)
    return Fault(f"{type(error).__name__}: {error}")


def refused(error: openai.APIStatusError) -> Fault:
    """Return what an HTTP status means; nothing was generated for it."""
    code = error.status_code
    passing = code in PASSING or code >= 500
    return Fault(
        f"HTTP {code}: {error.message}",
        again=passing and error.code != SPENT,
        pressed=code in PRESSED and error.code != SPENT,
        after=retry_after(error.response.headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the header Retry-After asks for, None where it asks for none.

    It is a number of seconds or an HTTP date (RFC 9110, section 10.2.3).
    """
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def deepest(error: BaseException) -> BaseException:
    """Return the cause of the cause of an error, to the last."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error

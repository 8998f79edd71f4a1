"""What a client is told when it gets no answer: a status, a code for programs, words for people.

{"error": {"code": "queue_full", "message": "…", "request_id": "…"}}
"""

import json
from collections.abc import Mapping
from typing import Any


class Problem(Exception):  # noqa: N818 - it is an answer, not a mistake of ours
    """A request that gets no answer.

    Args:
        status: HTTP's.
        code: for programs.
        message: what is wrong, got, expected, and how to mend it; nothing of the server's inside.
        headers: further ones, such as Retry-After.
        facts: further entries of the answer, such as the number of the bad input.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})
        self.facts = facts

    def body(self, request_id: str) -> bytes:
        """Return the answer's JSON."""
        told = {"code": self.code, "message": self.message, **self.facts, "request_id": request_id}
        return json.dumps({"error": told}, ensure_ascii=False).encode(errors="replace")

"""A call to a judge that gave no verdict."""


class JudgeError(Exception):
    """The message names endpoint and model, and never contains a key."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool = True,
        status: int | None = None,
        retry_after: float = 0.0,
        reply: str | None = None,
        tokens: tuple[int, int] = (0, 0),
    ):
        """
        Args:
            kind: what failures are counted by.
            retryable: whether the same call may succeed later.
            status: HTTP status of the response, or the code of an error inside of HTTP 200.
            retry_after: seconds that the server asked to wait.
            reply: what the judge wrote, if it wrote something that gives no verdict.
            tokens: read and written for it.
        """
        super().__init__(message)
        self.kind, self.retryable, self.status, self.retry_after = kind, retryable, status, retry_after
        self.reply, self.tokens = reply, tokens

    @property
    def cause(self) -> str:
        return f"{self.kind}: {self}"

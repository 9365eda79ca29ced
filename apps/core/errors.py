"""Errors that services and selectors raise. They know nothing of HTTP: each API turns them into its own
fault body, a page turns them into words at a field, a command into a line and an exit code."""

from __future__ import annotations

from typing import ClassVar


class KumoError(Exception):
    """Base of everything that is the caller's to understand.

    `message` says what is wrong, `hint` what to do about it.
    """

    status: ClassVar[int] = 500  # the usual HTTP status; an API may choose another
    title: ClassVar[str] = "Error"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code  # a name some APIs put in the body, such as neutron's `IpAddressInUse`

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Invalid(KumoError):
    """The request is wrong in itself."""

    status = 400
    title = "Bad Request"

    def __init__(self, message: str, *, field: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.field = field


class Unauthorized(KumoError):
    """No identity, or one that no longer holds."""

    status = 401
    title = "Unauthorized"


class Forbidden(KumoError):
    """The caller may see the thing, but not do this to it."""

    status = 403
    title = "Forbidden"

    def __init__(self, message: str, *, rule: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.rule = rule


class OverQuota(KumoError):
    """A limit of the project would be passed."""

    status = 403
    title = "Forbidden"

    def __init__(self, resource: str, *, used: int, wanted: int, limit: int, code: str = "") -> None:
        super().__init__(
            f"Quota exceeded for {resource}: {wanted} wanted, {used} of {limit} in use.",
            hint="Delete what is not needed, or ask an administrator for a higher limit.",
            code=code,
        )
        self.resource, self.used, self.wanted, self.limit = resource, used, wanted, limit


class NotFound(KumoError):
    """No such thing, or none that this caller may know of."""

    status = 404
    title = "Not Found"

    def __init__(self, noun: str, ident: object = "", *, hint: str = "", code: str = "") -> None:
        text = f"{noun} {ident} could not be found." if ident != "" else f"{noun} could not be found."
        super().__init__(text[0].upper() + text[1:], hint=hint, code=code)
        self.noun, self.ident = noun, str(ident)


class Gone(NotFound):
    """It was there, is being removed, and will not come back as what it was."""

    status = 410
    title = "Gone"


class NotAcceptable(KumoError):
    """A version that this cloud does not speak."""

    status = 406
    title = "Not Acceptable"

    def __init__(self, message: str, *, minimum: str = "", maximum: str = "") -> None:
        super().__init__(message)
        self.minimum, self.maximum = minimum, maximum


class Conflict(KumoError):
    """The thing is in a state, or in use, so that this cannot be done now."""

    status = 409
    title = "Conflict"


class PreconditionFailed(KumoError):
    """The caller's `If-Match` names a revision that is no longer the newest."""

    status = 412
    title = "Precondition Failed"


class TooLarge(KumoError):
    """More bytes or more items than allowed."""

    status = 413
    title = "Request Entity Too Large"


class UnsupportedMedia(KumoError):
    """The body is not of a type this call takes."""

    status = 415
    title = "Unsupported Media Type"


class Unavailable(KumoError):
    """Something this needs does not answer now; trying again later may work."""

    status = 503
    title = "Service Unavailable"

"""Every error that Cordboard raises on purpose, in one tree.

    CordboardError
    ├── StartupError            the service cannot start; one line tells the operator why
    ├── Refused                 an answer to a caller; `code` is stable and public
    │   ├── Malformed             malformed: the input itself is wrong
    │   │   ├── UnknownReference    unknown_reference: it names something that is not there (a queue, an agent)
    │   │   ├── FieldsMissing       fields_missing: the queue wants more at completion
    │   │   ├── UnknownParameter    unknown_parameter: the address asks for something that there is not
    │   │   ├── BadCursor           bad_cursor: no page of this list ends there
    │   │   └── IdempotencyMismatch idempotency_mismatch: the same key, another body
    │   ├── Unauthenticated       unauthenticated: no credential, or a bad one
    │   │   ├── BadSignature        bad_signature
    │   │   └── StaleTimestamp      stale_timestamp
    │   ├── Forbidden             forbidden: a good credential, but not for this
    │   │   └── WrongOrigin         wrong_origin: a page that may not do this
    │   ├── NotFound              not_found: also what belongs to another tenant
    │   ├── Gone                  gone: it was there, and was removed or ran out
    │   ├── CursorExpired         cursor_expired: older than what is kept of the journal
    │   ├── PreconditionFailed    precondition_failed: it is not, or no longer, what the caller takes it for
    │   ├── Conflict              conflict: not in this state
    │   │   ├── InvalidState        invalid_state: the state machine has no such move
    │   │   ├── OfferEnded          offer_ended: the offer expired or was revoked
    │   │   ├── AgentBusy           agent_busy: it still holds contacts
    │   │   ├── AgentUnavailable    agent_unavailable: it is not there to take the contact
    │   │   ├── InUse               in_use: something else still refers to it
    │   │   ├── QuietHours          quiet_hours: the customer is left in peace at this hour
    │   │   ├── TooManyOutreaches   too_many_outreaches: the customer was turned to often enough lately
    │   │   ├── MediaPending        media_pending: the file is still being fetched
    │   │   └── AccountTaken        account_taken: the account name is in use
    │   ├── BodyTooLarge          body_too_large
    │   ├── UnwantedFile          unwanted_file: of a kind that is not taken
    │   ├── Internal              internal: a fault of ours; this request was set aside, others go on
    │   └── Unavailable           unavailable: try again; nothing was done, or the repeat finds what was
    │       ├── TooFast             too_fast: one visitor asks for more than its share
    │       ├── RateLimited         rate_limited: a credential, or a tenant, asks for more than it may
    │       ├── Overloaded          overloaded: this process has more to do than it can do soon
    │       │   └── TenantOverloaded  overloaded: this tenant asks for more than can be done soon
    │       ├── NotOwner            not_owner: another process serves this tenant
    │       │   ├── NewerJournal      not_owner: a newer release has written to it
    │       │   └── NoAddress         not_owner: that process is of a release that takes no orders
    │       └── Fenced              fenced: another process took this tenant over in the middle
    ├── NotSent                 a channel did not take a message; `fate` says what that means for it
    ├── PeerLost                the connection to another process was lost; it is asked again
    └── StoreError              what the store tells the dispatch room, never a caller
        ├── StoreUnreachable      the connection was lost; whether a commit went through is unknown
        └── StoreRejected         the database refused the data of a batch

Codes, not HTTP statuses: one table in `api/problems.py` turns a class into a status.
"""

from typing import ClassVar, Literal


class CordboardError(Exception):
    """The root of the tree."""


class StartupError(CordboardError):
    """The service cannot start. The message is one line for the operator."""


class Refused(CordboardError):
    """An answer to a caller that is not what was asked for.

    `code` is part of the public contract. `extra` holds members that are shown beside it in the problem document
    (JSON values only).
    """

    code: ClassVar[str] = "refused"

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class Malformed(Refused):
    """The input itself is wrong."""

    code = "malformed"


class UnknownReference(Malformed):
    """The input names something that is not there."""

    code = "unknown_reference"


class FieldsMissing(Malformed):
    """The queue wants more to be said at completion; `fields` names what is missing."""

    code = "fields_missing"


class UnknownParameter(Malformed):
    """The address has a query parameter that there is none of here."""

    code = "unknown_parameter"


class BadCursor(Malformed):
    """The cursor is none that a page of this list was answered with."""

    code = "bad_cursor"


class IdempotencyMismatch(Malformed):
    """The same idempotency key came with another body."""

    code = "idempotency_mismatch"


class Unauthenticated(Refused):
    """No credential, or a bad one."""

    code = "unauthenticated"


class BadSignature(Unauthenticated):
    """The signature does not fit what was signed."""

    code = "bad_signature"


class StaleTimestamp(Unauthenticated):
    """Signed too long ago, or in the future."""

    code = "stale_timestamp"


class Forbidden(Refused):
    """A good credential, but not for this."""

    code = "forbidden"


class WrongOrigin(Forbidden):
    """The page that asks is not one that may."""

    code = "wrong_origin"


class NotFound(Refused):
    """Not there, or another tenant's."""

    code = "not_found"


class Gone(Refused):
    """It was there, and was removed, revoked or ran out."""

    code = "gone"


class CursorExpired(Refused):
    """What was asked for is older than what is kept of the journal."""

    code = "cursor_expired"


class PreconditionFailed(Refused):
    """It is not, or no longer, what the caller takes it for: `If-Match` or `If-None-Match` says so."""

    code = "precondition_failed"


class Conflict(Refused):
    """Not in this state."""

    code = "conflict"


class InvalidState(Conflict):
    """The state machine has no such move."""

    code = "invalid_state"


class OfferEnded(Conflict):
    """The offer expired or was revoked before the answer came."""

    code = "offer_ended"


class AgentBusy(Conflict):
    """The agent still holds contacts."""

    code = "agent_busy"


class AgentUnavailable(Conflict):
    """The agent is not there to take the contact."""

    code = "agent_unavailable"


class InUse(Conflict):
    """Something else still refers to it."""

    code = "in_use"


class QuietHours(Conflict):
    """The customer is left in peace at this hour; `allowed_at` says until when, null: nobody knows."""

    code = "quiet_hours"


class TooManyOutreaches(Conflict):
    """The customer was turned to as often lately as the tenant allows; `allowed_at` says when it may be again."""

    code = "too_many_outreaches"


class MediaPending(Conflict):
    """The file is still being fetched from the channel."""

    code = "media_pending"


class AccountTaken(Conflict):
    """The channel account's name is already in use."""

    code = "account_taken"


class BodyTooLarge(Refused):
    """The body is larger than the limit."""

    code = "body_too_large"


class UnwantedFile(Refused):
    """A file of a kind that is not taken, whatever it calls itself."""

    code = "unwanted_file"


class Internal(Refused):
    """A fault of ours. This request was set aside; nothing of it was done."""

    code = "internal"


class Unavailable(Refused):
    """Try again: nothing was done, or the repeat finds what was. `retry_after_s` says when, in seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s


class TooFast(Unavailable):
    """One visitor asks for more than its share. Nothing was done."""

    code = "too_fast"


class RateLimited(Unavailable):
    """A credential, or its tenant (`limit` says which), asks for more than it may. Nothing was done."""

    code = "rate_limited"


class Overloaded(Unavailable):
    """The process has more to do than it can do soon. Nothing was done."""

    code = "overloaded"


class TenantOverloaded(Overloaded):
    """One tenant asks for more than can be done soon; others are served. Nothing was done."""


class NotOwner(Unavailable):
    """Another process serves this tenant."""

    code = "not_owner"


class NewerJournal(NotOwner):
    """A newer release has written to this tenant's journal: this one does not know what it means."""


class NoAddress(NotOwner):
    """The process that serves this tenant takes no orders from others: it runs a release from before they could."""


class Fenced(Unavailable):
    """Another process took the tenant over while this was under way.

    `in_doubt`: the connection was lost before, so it may have been done.
    """

    code = "fenced"

    def __init__(self, detail: str, *, in_doubt: bool = False) -> None:
        super().__init__(detail)
        self.in_doubt = in_doubt


class NotSent(CordboardError):
    """A channel's system did not take a message that was to go out.

    `reason` is a stable code. `fate`, the class of the error:

    - `again`: try again; nothing is known to be wrong with message or account
    - `slower`: the account asks for too much; all of it waits, `pause_s` at least
    - `customer`: nothing more goes to this customer until they write
    - `refused`: this message will never be taken
    - `admin`: the account cannot send before somebody has seen to it
    """

    def __init__(
        self,
        reason: str,
        fate: Literal["again", "slower", "customer", "refused", "admin"],
        *,
        pause_s: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fate = fate
        self.pause_s = pause_s


class PeerLost(CordboardError):
    """The connection to another process was lost. Whether it did what was asked is unknown."""


class StoreError(CordboardError):
    """What the store tells the dispatch room. Never shown to a caller."""


class StoreUnreachable(StoreError):
    """The connection was lost. Whether a commit under way went through is unknown."""


class StoreRejected(StoreError):
    """The database refused the data of a batch (a constraint, or a value that it cannot hold)."""

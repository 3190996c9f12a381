"""The brake of a push: a trial with the first updates, and a limit to failures in a row.

A failure is any end but `sent`: a refusal, an update taken with a Message, no answer. Rejected
updates never reach the API and do not count. After the trial a share says
nothing, as some e-mails of somebody else are ordinary; only a row of failures stops a push then.
"""

from dataclasses import dataclass, field

from lcm_pipeline.model.profiles import AttemptResult

_FEWEST_IN_A_ROW = 8
_FEWEST_REFUSED = 3


@dataclass
class Canary:
    """Counts how each attempt ended. canary: attempts in the trial; fuse: the share that may fail.

    width: attempts in flight; so many may fail together when a service goes down.
    """

    canary: int
    fuse: float
    concurrency: int
    _tried: int = 0
    _taken: int = 0
    _answered: int = 0
    _failed_in_trial: int = 0
    _in_a_row: int = 0
    _refusals: list[int | None] = field(default_factory=list)
    _not_sent: int = 0
    _last_silence: AttemptResult | None = None

    @property
    def left_of_trial(self) -> int:
        """How many attempts the trial still wants; nothing else is sent before it is over."""
        return max(0, self.canary - self._tried)

    def note(self, answered: AttemptResult) -> None:
        """Count one attempt."""
        self._tried += 1
        is_success = answered.outcome == "sent"
        self._in_a_row = 0 if is_success else self._in_a_row + 1
        if not is_success and self._tried <= self.canary:
            self._failed_in_trial += 1
        if answered.outcome in ("sent", "partial", "failed") and not answered.is_ambiguous:
            self._answered += 1
        if answered.outcome in ("sent", "partial"):
            self._taken += 1
        elif answered.outcome == "failed":
            self._refusals.append(answered.error_code)
        else:
            self._last_silence = answered
            self._not_sent += answered.outcome == "not sent"

    @property
    def answered(self) -> int:
        """How many updates the service took or refused by an ErrorCode: it lets us in."""
        return self._answered

    @property
    def is_about_us(self) -> bool:
        """Whether everything was refused alike: a wrong token looks so, not a wrong update."""
        return (
            not self._taken
            and len(self._refusals) >= _FEWEST_REFUSED
            and len(set(self._refusals)) == 1
        )

    def reason_to_stop(self) -> str | None:
        """Why the push must not go on, for the user; None when it may."""
        if self.canary and not self.left_of_trial and self._fails_trial:
            reason = (
                f"{self._failed_in_trial} of the first {self.canary} updates failed, more than"
                f" LCM_PUSH_FUSE ({self.fuse:g}) allows"
            )
        # During the trial its own limit counts; an outage shows in a longer row.
        elif self._in_a_row >= max(_FEWEST_IN_A_ROW, self.concurrency, self.canary):
            reason = f"{self._in_a_row} updates failed in a row"
        else:
            return None
        silence = self.reason_for_silence()
        return f"{reason}; {silence}" if silence else reason

    def reason_for_silence(self) -> str | None:
        """What to say when not one answer came that can be used; None when one did."""
        if self._answered or self._last_silence is None:
            return None
        return f"the service gives no usable response: {self._last_silence.error}"

    @property
    def is_unreachable(self) -> bool:
        """Whether not one request got through: each was tried several times already."""
        return self._tried == self._not_sent

    @property
    def _fails_trial(self) -> bool:
        return self._failed_in_trial > self.fuse * self.canary

"""Stops a push that fails: a trial with the first updates, then a limit on failures in a row.

A failure is any outcome but `sent`: a refusal, an update accepted with a Message, no response.
Rejected updates are never sent and do not count. After the trial no share is checked, as a few
refusals are normal (an e-mail that another client has): only failures in a row stop the push then.
"""

from dataclasses import dataclass, field

from lcm_pipeline.model.profiles import AttemptResult

# Fewer failures in a row, or fewer refusals, occur by chance.
_MIN_IN_A_ROW = 8
_MIN_REFUSED = 3


@dataclass
class Canary:
    """Counts the outcomes of attempts.

    trial_size: attempts in the trial. fuse: the share of them that may fail. concurrency: attempts
    in flight, all of which may fail at once when a service goes down. responses: updates that the
    service accepted or refused by ErrorCode, so our access works.
    """

    trial_size: int
    fuse: float
    concurrency: int
    responses: int = field(default=0, init=False)
    _tried: int = field(default=0, init=False)
    _accepted: int = field(default=0, init=False)
    _failed_in_trial: int = field(default=0, init=False)
    _in_a_row: int = field(default=0, init=False)
    _refusals: list[int | None] = field(default_factory=list, init=False)
    _not_sent: int = field(default=0, init=False)
    _last_without_response: AttemptResult | None = field(default=None, init=False)

    @property
    def trial_left(self) -> int:
        """Attempts that are left in the trial; nothing else is sent before it is over."""
        return max(0, self.trial_size - self._tried)

    def record(self, result: AttemptResult) -> None:
        """Record the result of one attempt."""
        self._tried += 1
        is_success = result.outcome == "sent"
        self._in_a_row = 0 if is_success else self._in_a_row + 1
        if not is_success and self._tried <= self.trial_size:
            self._failed_in_trial += 1
        if result.outcome in ("sent", "partial", "failed") and not result.is_ambiguous:
            self.responses += 1
        if result.outcome in ("sent", "partial"):
            self._accepted += 1
        elif result.outcome == "failed":
            self._refusals.append(result.error_code)
        else:
            self._last_without_response = result
            self._not_sent += result.outcome == "not sent"

    @property
    def refuses_everything(self) -> bool:
        """Whether all were refused with the same ErrorCode, which points to the credentials."""
        return (
            not self._accepted
            and len(self._refusals) >= _MIN_REFUSED
            and len(set(self._refusals)) == 1
        )

    def reason_to_stop(self) -> str | None:
        """Return why the push must stop, for the user; None when it may continue."""
        has_failed_trial = self._failed_in_trial > self.fuse * self.trial_size
        if self.trial_size and not self.trial_left and has_failed_trial:
            reason = (
                f"{self._failed_in_trial} of the first {self.trial_size} updates failed, more than"
                f" LCM_PUSH_FUSE ({self.fuse:g}) allows"
            )
        # As many failures as the trial has attempts: during the trial only the fuse stops the push.
        elif self._in_a_row >= max(_MIN_IN_A_ROW, self.concurrency, self.trial_size):
            reason = f"{self._in_a_row} updates failed in a row"
        else:
            return None
        no_response = self.no_response_reason()
        return f"{reason}; {no_response}" if no_response else reason

    def no_response_reason(self) -> str | None:
        """Return a reason when there was no usable response at all; None when there was one."""
        if self.responses or self._last_without_response is None:
            return None
        return f"the service gives no usable response: {self._last_without_response.error}"

    @property
    def is_unreachable(self) -> bool:
        """Whether no request could be sent. Each was retried, so another round is useless."""
        return 0 < self._tried == self._not_sent

-- purpose: record what came of an attempt, on the attempt and on its update
-- parameters: update_id, attempt_number, status, outcome, error_code, error_class, error
-- tag: update-finished
with noted as (
    update outbox.attempts
    set
        outcome = %(outcome)s,
        error_code = %(error_code)s,
        error_class = %(error_class)s,
        error = %(error)s,
        ended_at = now()
    where update_id = %(update_id)s and attempt_number = %(attempt_number)s
)

update outbox.profile_updates
set
    status = %(status)s,
    last_error = %(error)s,
    sent_at = case when %(status)s in ('sent', 'partial') then now() end,
    sent_values = case when %(status)s <> 'pending' then sent_values end,
    known_before = case when %(status)s <> 'pending' then known_before end
where update_id = %(update_id)s and status = 'sending';

-- purpose: mark an update as sending, with the values that go out
-- parameters: update_id, push_id, values, before
-- tag: update-claimed
update outbox.profile_updates
set
    status = 'sending',
    push_id = %(push_id)s,
    attempts = attempts + 1,
    claimed_at = now(),
    sent_values = %(values)s,
    known_before = coalesce(%(before)s, known_before),
    last_error = null
where update_id = %(update_id)s;

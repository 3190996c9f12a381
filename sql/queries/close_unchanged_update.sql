-- purpose: close an update whose fields are all as they were sent last
-- parameters: update_id, push_id
update outbox.profile_updates
set
    status = 'sent',
    push_id = %(push_id)s,
    sent_values = '{}',
    known_before = '{}',
    sent_at = now()
where update_id = %(update_id)s;

-- purpose: make the updates that the API refused in a push pending again
-- parameters: push_id
update outbox.profile_updates
set status = 'pending', sent_values = null, known_before = null
where push_id = %(push_id)s and status = 'failed';

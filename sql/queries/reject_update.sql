-- purpose: reject an update that breaks a rule; it is never sent
-- parameters: update_id, push_id, error
-- tag: update-rejected
update outbox.profile_updates
set status = 'rejected', push_id = %(push_id)s, last_error = %(error)s
where update_id = %(update_id)s;

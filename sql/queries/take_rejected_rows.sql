-- purpose: give rows that the loading of a file rejected to the push that it was loaded for
-- parameters: push_id
update outbox.profile_updates
set push_id = %(push_id)s
where push_id is null and status = 'rejected' and load_digest is not null;

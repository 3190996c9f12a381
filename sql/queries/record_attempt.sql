-- purpose: record an attempt to send an update, by the names of its fields
-- parameters: update_id, push_id, field_names
insert into outbox.attempts (update_id, attempt_number, push_id, field_names)
select update_id, attempts, %(push_id)s, %(field_names)s
from outbox.profile_updates
where update_id = %(update_id)s;

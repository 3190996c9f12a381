-- purpose: begin a push; it takes the updates that are there by now
-- parameters: requested_by, undo_of
-- tag: push-begun
insert into outbox.pushes (requested_by, undo_of, last_update_id)
select %(requested_by)s, %(undo_of)s, coalesce(max(update_id), 0)
from outbox.profile_updates
returning push_id, last_update_id;

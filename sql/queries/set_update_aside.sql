-- purpose: reject an update that cannot be judged, or leave it as it is while it may be on its way
-- parameters: update_id, push_id, error
update outbox.profile_updates
set
    status = case status when 'pending' then 'rejected' else status end,
    push_id = %(push_id)s,
    last_error = %(error)s
where update_id = %(update_id)s and status in ('pending', 'sending')
returning status;

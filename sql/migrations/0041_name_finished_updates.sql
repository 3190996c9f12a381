-- purpose: one definition of when a profile update was finished, for who removes old ones

create view outbox.finished_updates as
select
    update_id,
    greatest(requested_at, claimed_at, sent_at) as finished_at
from outbox.profile_updates
where status in ('sent', 'partial', 'rejected', 'failed');
comment on view outbox.finished_updates is 'profile updates that are done with, and since when. Grain: update';
comment on column outbox.finished_updates.update_id is 'the update';
comment on column outbox.finished_updates.finished_at is 'when it was last worked on';

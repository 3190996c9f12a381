-- purpose: count on the run what a publish did
-- parameters: run_id, written, deleted
update sync.runs
set
    rows_written = rows_written + %(written)s,
    rows_deleted = rows_deleted + %(deleted)s,
    rows_read = counted.rows_read,
    quarantined = counted.quarantined,
    pending = counted.pending
from (
    select
        coalesce(sum(staged), 0) as rows_read,
        coalesce(sum(quarantined), 0) as quarantined,
        count(*) filter (where status in ('pending', 'unproven', 'failed')) as pending
    from sync.fetches
    where run_id = %(run_id)s
) as counted
where runs.run_id = %(run_id)s;

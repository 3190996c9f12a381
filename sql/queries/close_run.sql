-- purpose: record how a run ended, and when
-- parameters: run_id, status, error
-- tag: run-closed
update sync.runs
set status = %(status)s, error = %(error)s, finished_at = now()
where run_id = %(run_id)s;

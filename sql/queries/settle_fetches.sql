-- purpose: close the fetches that a publish took
-- parameters: run_id
update sync.fetches
set status = 'published'
from publishing
where
    fetches.run_id = %(run_id)s
    and fetches.client_id = publishing.client_id
    and fetches.window_from = publishing.window_from;

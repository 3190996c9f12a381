-- purpose: put on the ledger what the verdicts say of fetches that a publish does not take
-- parameters: run_id
update sync.fetches
set status = case judged.verdict when 'again' then 'pending' else 'superseded' end
from judged
where
    fetches.run_id = %(run_id)s
    and fetches.client_id = judged.client_id
    and fetches.window_from = judged.window_from
    and judged.verdict <> 'take';

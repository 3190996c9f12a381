-- purpose: keep a row that does not fit the contract, once
-- parameters: endpoint, client_id, digest, table, reason, raw, context, run_id
insert into sync.quarantine
    (endpoint, client_id, row_digest, table_name, reason, raw, context, sync_run_id)
values
    (%(endpoint)s, %(client_id)s, %(digest)s, %(table)s, %(reason)s, %(raw)s, %(context)s,
        %(run_id)s)
on conflict (endpoint, client_id, row_digest, context) do update set
    resolved_at = null,
    reason = excluded.reason,
    sync_run_id = excluded.sync_run_id;

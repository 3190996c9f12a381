-- purpose: forget that some clients are up to date, so that their next reading is a full one
-- parameters: endpoint, clients
update sync.client_state
set fingerprint = null, head = null, header_digest = null, version = version + 1
where endpoint = %(endpoint)s and client_id = any(%(clients)s);

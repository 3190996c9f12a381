-- purpose: goods of the favourite product mechanic, as the newest reading names them
-- parameters: run_id
insert into core.goods as stored
    (list_data_id, code, name, image_url, named_at, sync_run_id, first_seen_at, synced_at)
select distinct on (list_data_id)
    list_data_id, code, good_name, image_url, read_at, %(run_id)s, now(), now()
from incoming_favourite_goods
order by list_data_id asc, read_at desc, good_name desc, code desc, image_url desc
on conflict (list_data_id) do update set
    code = excluded.code,
    name = excluded.name,
    image_url = excluded.image_url,
    named_at = excluded.named_at,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at
where
    (stored.code, stored.name, stored.image_url)
    is distinct from (excluded.code, excluded.name, excluded.image_url);

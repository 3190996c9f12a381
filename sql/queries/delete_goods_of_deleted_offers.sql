-- purpose: goods go with the offer that they belong to
-- parameters: run_id
update core.favourite_goods as goods
set deleted_at = now(), synced_at = now(), sync_run_id = %(run_id)s
from gone_favourite_offers as gone
where
    goods.client_id = gone.client_id
    and goods.favourite_id = gone.favourite_id
    and goods.deleted_at is null
    and not exists (
        select from core.favourite_offers as moved
        where
            moved.client_id = gone.client_id
            and moved.favourite_id = gone.favourite_id
            and moved.deleted_at is null
    );

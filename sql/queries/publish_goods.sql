-- purpose: goods of the favourite product mechanic, as the newest offer that tells names them
-- parameters: run_id
-- A text that is null or empty tells nothing. Offers are read in any order and again and again:
-- dating a name by its offer makes each order end in the same names.
with told as (
    select
        goods.list_data_id,
        max(offers.offered_at) as named_at,
        (array_agg(goods.code order by offers.offered_at desc, goods.code desc)
            filter (where goods.code <> ''))[1] as code,
        (array_agg(goods.good_name order by offers.offered_at desc, goods.good_name desc)
            filter (where goods.good_name <> ''))[1] as good_name,
        (array_agg(goods.image_url order by offers.offered_at desc, goods.image_url desc)
            filter (where goods.image_url <> ''))[1] as image_url
    from incoming_favourite_goods as goods
    inner join incoming_favourite_offers as offers
        on offers.client_id = goods.client_id and offers.favourite_id = goods.favourite_id
    group by goods.list_data_id
),

merged as (
    select
        told.list_data_id,
        greatest(told.named_at, stored.named_at) as named_at,
        case when told.named_at > stored.named_at
            then coalesce(told.code, stored.code) else coalesce(stored.code, told.code)
        end as code,
        case when told.named_at > stored.named_at
            then coalesce(told.good_name, stored.name) else coalesce(stored.name, told.good_name)
        end as name,
        case when told.named_at > stored.named_at
            then coalesce(told.image_url, stored.image_url)
            else coalesce(stored.image_url, told.image_url)
        end as image_url
    from told
    left join core.goods as stored on stored.list_data_id = told.list_data_id
)

insert into core.goods as stored
    (list_data_id, code, name, image_url, named_at, sync_run_id, first_seen_at, synced_at)
select list_data_id, code, name, image_url, named_at, %(run_id)s, now(), now()
from merged
on conflict (list_data_id) do update set
    code = excluded.code,
    name = excluded.name,
    image_url = excluded.image_url,
    named_at = excluded.named_at,
    sync_run_id = excluded.sync_run_id,
    synced_at = excluded.synced_at
where
    (stored.code, stored.name, stored.image_url, stored.named_at)
    is distinct from
    (excluded.code, excluded.name, excluded.image_url, excluded.named_at);

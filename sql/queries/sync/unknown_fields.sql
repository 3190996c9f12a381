-- sync.unknown_fields: fields of responses that the payload definition lacks

-- name: record_unknown_fields
-- purpose: record unknown fields, a bounded number per feed
-- parameters: feed, names, most
insert into sync.unknown_fields (feed, field_name)
select
    %(feed)s,
    met.name
from unnest(%(names)s::text[]) as met (name)
where
    not exists (
        select from sync.unknown_fields as known
        where known.feed = %(feed)s and known.field_name = met.name
    )
order by met.name
limit greatest(
    0, %(most)s - (select count(*) from sync.unknown_fields where feed = %(feed)s)
)
on conflict do nothing;

-- name: unknown_fields
-- purpose: the unknown fields of all feeds
select
    feed,
    field_name
from sync.unknown_fields
order by feed, field_name;

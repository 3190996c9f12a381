-- sync.paging_habits: how the endpoint of each feed was seen to page

-- name: read_base
-- purpose: the number that the endpoint of a feed gives its first row
-- parameters: feed
select base
from sync.paging_habits
where feed = %(feed)s;

-- name: store_base
-- purpose: remember the number that the endpoint of a feed gives its first row
-- parameters: feed, base
insert into sync.paging_habits as stored (feed, base)
values (%(feed)s, %(base)s)
on conflict (feed) do update set base = excluded.base
where stored.base <> excluded.base;

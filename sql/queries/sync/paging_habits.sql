-- sync.paging_habits: the observed paging of each feed's endpoint

-- name: read_base
-- purpose: the number of the first row in the paging of a feed's endpoint
-- parameters: feed
select base
from sync.paging_habits
where feed = %(feed)s;

-- name: store_base
-- purpose: store the number of the first row in the paging of a feed's endpoint
-- parameters: feed, base
insert into sync.paging_habits as stored (feed, base)
values (%(feed)s, %(base)s)
on conflict (feed) do update set base = excluded.base
where stored.base <> excluded.base;

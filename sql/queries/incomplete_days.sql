-- purpose: for each feed, which days are told, and the first and last of them that wait for something
-- parameters: none
-- Clients that are not due yet are no reason to sync a day again.
select
    feeds.feed,
    min(days.day) as first_day,
    max(days.day) as last_day,
    min(days.day) filter (where days.pending > 0) as first_incomplete,
    max(days.day) filter (where days.pending > 0) as last_incomplete
from sync.feeds
left join sync.day_completeness as days on days.feed = feeds.feed
group by feeds.feed;

-- purpose: how complete the last day of a window is; of a feed that is read by day, all its days
-- parameters: feed, first, last
select
    coalesce(sum(day_completeness.clients), 0)::bigint as clients,
    coalesce(sum(day_completeness.pending), 0)::bigint as pending,
    coalesce(sum(day_completeness.deferred), 0)::bigint as deferred
from sync.day_completeness
inner join sync.feeds on feeds.feed = day_completeness.feed
where
    day_completeness.feed = %(feed)s
    and day_completeness.day <= %(last)s
    and day_completeness.day >= case when feeds.is_by_day then %(first)s else %(last)s end;

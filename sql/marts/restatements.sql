-- question: which past days changed since they were first published, by how much and why?
-- grain: day x table x reason
-- formula: a day was first published by its reading (mart.readings). late: rows that came after it.
--   mutated: rows that it had and that are different now (a lot's remain as well); a row that changed
--   and changed back is none. vanished: rows that it had and the source has no longer; a row that
--   moved to another client or day is vanished there and late here. Amounts: money of cheques, refunds
--   negative, by the cheque's own row, or by the first of the rows that name it where it has none: an
--   order that names a cheque adds nothing to it. Points: added by bonus rows. Rows of the other
--   feeds have no amount; those that keep no history count as mutated by the time of the change.
-- refreshed: always
create materialized view mart.restatements as
select
    day,
    table_name,
    reason,
    rows,
    0::numeric(19, 2) as amount_change,
    0::numeric(19, 2) as points_change,
    first_restated_at,
    last_restated_at
from mart.restated_rows
union all
select
    day,
    'operations' as table_name,
    reason,
    rows,
    amount_change,
    points_change,
    first_restated_at,
    last_restated_at
from mart.restated_operations;

create unique index on mart.restatements (day, table_name, reason);

comment on materialized view mart.restatements is 'past days that changed since they were first published. Grain: day, table, reason';
comment on column mart.restatements.day is 'business day';
comment on column mart.restatements.table_name is 'main table of the feed, such as operations';
comment on column mart.restatements.reason is 'late, mutated or vanished';
comment on column mart.restatements.rows is 'rows that changed';
comment on column mart.restatements.amount_change is 'by how much the money of cheques changed';
comment on column mart.restatements.points_change is 'by how many the points given by bonus rows changed; points that only cheques state are not in it';
comment on column mart.restatements.first_restated_at is 'first of the newest changes of these rows';
comment on column mart.restatements.last_restated_at is 'last of them';

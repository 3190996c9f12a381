-- differing: the rows of a mart that a refresh has to write, a temporary table of its transaction

-- name: compare_rows
-- purpose: find the rows of a mart to insert (sign above 0) and to delete (below 0)
-- {computed_where} and {stored_where} are a join or a condition that limits the rows to compare, or empty.
-- Equal rows may occur several times. `group by` treats nulls as equal, and sorts or hashes: one client
-- may have 100,000 rows.
create temp table differing on commit drop as
select
    {columns},
    sum(refresh_sign)::integer as refresh_sign,
    array_agg(refresh_place) filter (where refresh_sign < 0) as refresh_places
from (
    select
        computed.*,
        null::tid as refresh_place,
        1 as refresh_sign
    from (select {columns} from {computed} {computed_where}) as computed
    union all
    select
        stored.*,
        -1 as refresh_sign
    from (
        select
            {stored_columns},
            stored.ctid as refresh_place
        from {mart} as stored {stored_where}
    ) as stored
) as compared
group by {columns}
having sum(refresh_sign) <> 0;

-- name: delete_differing
-- purpose: delete the rows of a mart that its formula no longer returns
delete from {mart}
where ctid = any(array(
    select unnest(refresh_places[1:-refresh_sign]) from differing
    where refresh_sign < 0
));

-- name: insert_differing
-- purpose: insert the rows of a mart that its formula returns anew
insert into {mart} ({columns})
select {columns}
from differing
cross join generate_series(1, refresh_sign)
where refresh_sign > 0;

-- name: days_of_differing
-- purpose: the days of the rows that differ in the columns that another mart reads
select distinct touched.day
from (
    select {columns} from differing
    group by {columns}
    having sum(refresh_sign) <> 0
) as changed
cross join unnest(array[{dates}]) as touched (day)
where touched.day is not null;

-- name: compare_by_key
-- purpose: find the rows of a mart with a key that differ from those that its formula returns
create temp table differing on commit drop as
select
    {computed_columns},
    computed.{key} is not null as is_computed,
    stored.ctid as refresh_place
from {formula} as computed
full join {mart} as stored on stored.{key} = computed.{key}
where ({computed_columns}) is distinct from ({stored_columns});

-- name: delete_differing_by_key
-- purpose: delete the rows of a mart with a key that are to be replaced, or that are gone
delete from {mart}
where ctid = any(array(
    select refresh_place from differing
    where refresh_place is not null
));

-- name: insert_differing_by_key
-- purpose: insert the rows of a mart with a key that are new, or that replace others
insert into {mart} ({columns})
select {columns}
from differing
where is_computed;

-- name: sum_pieces
-- purpose: sum pieces by the keys of a mart into a temporary table
-- A row whose sums are all 0 is left out: its clients may have left it, or it never had any.
create temp table {result} on commit drop as
with pieces as (
    select each.* from ({pieces}) as each
),

summed as (
    select
        {keys},
        {sums}
    from pieces
    group by {keys}
)

select * from summed
where {is_any};

-- name: contributions
-- purpose: what the clients or rows in scope contribute to sums now, for `sum_pieces`
select {columns} from {formula};

-- name: changes_of_contributions
-- purpose: what they contribute now, and with the other sign what they did before, for `sum_pieces`
select {columns} from {formula}
union all
select {negated} from {copy};

-- name: changed_and_stored_sums
-- purpose: what changed, and the stored sums that it changes, for `sum_pieces`; {of_changed} is a join
select {columns} from changed_sums
union all
select {stored_columns} from {mart} as stored {of_changed};

-- name: copy_contributions
-- purpose: copy what the clients in scope contribute to sums, before the rows below these change
create temp table {copy} on commit drop as
select * from {formula};

-- name: replace_all_rows
-- purpose: fill a mart, after its rows were deleted
-- The order puts a client's rows on few pages of the table and of its index.
insert into {mart}
select * from {formula}
order by client_id;

-- name: mart_is_empty
-- purpose: whether a mart has no row
select not exists (select from {mart}) as is_empty;

-- name: fill_mart
-- purpose: fill a mart that is empty: there is nothing to compare its rows with
insert into {mart} ({columns})
select {columns} from {computed} {computed_where};

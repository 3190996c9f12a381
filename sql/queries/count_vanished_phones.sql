-- purpose: clients of a publish whose phone the source no longer has, and those who have one stored
-- parameters: none
with told as (
    select distinct on (client_id)
        client_id,
        phone
    from incoming_clients
    where registered_at is null
    order by client_id asc, read_at desc
)

select
    (
        select count(*)
        from told
        inner join core.clients as stored on stored.client_id = told.client_id
        where told.phone is null and stored.phone is not null
    ) as vanished,
    (
        select count(*)
        from publishing
        inner join core.clients as stored on stored.client_id = publishing.client_id
        where stored.phone is not null
    ) as covered;

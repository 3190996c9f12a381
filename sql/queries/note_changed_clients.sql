-- purpose: note whose operations a publish changed, for the marts that are kept by client
-- parameters: none
-- A row that vanished tells another thing once it lives on with another client, or no longer does:
-- then the client that it vanished from is noted too.
with moved as (
    select
        component_type,
        operation_id,
        client_id
    from changed_operations
    where is_new or was_deleted
    union all
    select
        component_type,
        operation_id,
        client_id
    from gone_operations
)

insert into refresh.changed_clients (client_id)
select client_id from changed_operations
union
select client_id from gone_operations
union
select vanished.client_id
from core.operations as vanished
inner join moved
    on
        moved.component_type = vanished.component_type
        and moved.operation_id = vanished.operation_id
where vanished.deleted_at is not null and moved.client_id <> vanished.client_id;

-- purpose: note whose operations a publish changed, for the marts that are kept by client
-- parameters: none
insert into refresh.changed_clients (client_id)
select client_id from changed_operations
union
select client_id from gone_operations;

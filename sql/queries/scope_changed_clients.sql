-- purpose: put into the scope of a refresh the clients whose operations publishes changed
-- parameters: none
with noted as (
    delete from refresh.changed_clients returning client_id
)

insert into refresh.scope (client_id)
select distinct client_id from noted;

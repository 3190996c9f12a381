-- purpose: put every client into the scope of a refresh
-- parameters: none
insert into refresh.scope (client_id)
select distinct client_id from core.operations;

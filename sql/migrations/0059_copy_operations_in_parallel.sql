-- purpose: mark the clients in scope whose operations are copied, instead of searching for them among the copies

alter table refresh.scope
    add column is_copied boolean not null default false;
comment on column refresh.scope.is_copied is 'the operations are in refresh.scoped_operations';

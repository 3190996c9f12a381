-- purpose: what a refresh of the marts works with: whom it is about, and what it knew the last time
-- Marts are stored. Those of rows (lots, cheques, movements) are kept by client: a publish notes the
-- clients whose operations changed, and the next refresh computes these anew.

create schema refresh;
comment on schema refresh is 'how the stored marts are brought up to date; nobody reads it but the refresh';

create table refresh.changed_clients (
    client_id bigint not null
);
comment on table refresh.changed_clients is 'clients whose operations a publish changed since the marts were refreshed; one may be here twice';
comment on column refresh.changed_clients.client_id is 'the client';

create unlogged table refresh.scope (
    client_id bigint not null,
    primary key (client_id)
);
comment on table refresh.scope is 'the clients that a refresh is computing; empty outside of its transaction';
comment on column refresh.scope.client_id is 'the client';

create table refresh.horizons (
    is_only boolean not null default true check (is_only),
    through_day date,
    newest_day date,
    parameters text not null,
    primary key (is_only)
);
comment on table refresh.horizons is 'up to which days the marts kept by client were computed, and by which parameters';
comment on column refresh.horizons.is_only is 'true: there is one row';
comment on column refresh.horizons.through_day is 'last business day that operations told of';
comment on column refresh.horizons.newest_day is 'newest business day with a row';
comment on column refresh.horizons.parameters is 'the row of mart.parameters, as text';

create table refresh.marts (
    name text not null,
    signature text not null,
    refreshed_at timestamptz not null,
    primary key (name)
);
comment on table refresh.marts is 'of what state of the warehouse each mart tells; an equal state is not computed again';
comment on column refresh.marts.name is 'the mart';
comment on column refresh.marts.signature is 'digest of the state';
comment on column refresh.marts.refreshed_at is 'when it was computed';

-- A client is unknown to the marts until it was in a refresh.
insert into refresh.changed_clients (client_id)
select distinct client_id from core.operations;

-- Only its owner may refresh a materialized view, and owners of what lies in a schema create in it.
do $$
begin
    if exists (select from pg_roles where rolname = 'lcm_loader') then
        grant usage, create on schema refresh, mart to lcm_loader;
        grant select, insert, update, delete on all tables in schema refresh to lcm_loader;
        alter default privileges in schema refresh grant select on tables to lcm_loader;
        if pg_has_role(current_user, 'lcm_loader', 'member') then
            alter table refresh.scope owner to lcm_loader;
        end if;
    end if;
end;
$$;

-- public.lcm_marts: which marts are installed

-- name: installed_marts
-- purpose: the marts that are installed, with the checksums of their files
select
    name,
    checksum
from public.lcm_marts
where name <> 'lcm_migrations';

-- name: record_mart
-- purpose: record that a mart is installed, with the checksum of its file
-- parameters: name, checksum
insert into public.lcm_marts (name, checksum)
values (%(name)s, %(checksum)s)
on conflict (name) do update set
    checksum = excluded.checksum,
    installed_at = now();

-- name: delete_marts
-- purpose: delete the records of marts that no longer have a file
-- parameters: names
delete from public.lcm_marts
where name = any(%(names)s);

-- name: begin_migration
-- purpose: record that a migration has begun, in a warehouse that has this table, until end_migration
do $$
begin
    if to_regclass('public.lcm_marts') is not null then
        insert into public.lcm_marts (name, checksum)
        values ('lcm_migrations', 'begun')
        on conflict (name) do nothing;
    end if;
end;
$$;

-- name: has_begun_migration
-- purpose: whether a migration was begun and not ended
select exists (select from public.lcm_marts where name = 'lcm_migrations') as has_begun;

-- name: end_migration
-- purpose: record that the migration is complete, rights included
delete from public.lcm_marts
where name = 'lcm_migrations';

-- name: objects_on_marts
-- purpose: what others attached to our marts and to the views that read them, which goes when those are dropped
-- Functions of the owner in our schemas are ours.
with recursive hanging as (
    select
        'pg_class'::regclass::oid as classid,
        classes.oid as objid
    from pg_class as classes
    inner join public.lcm_marts on lcm_marts.name = classes.relname
    where classes.relnamespace = 'mart'::regnamespace
    union
    select
        depending.classid,
        depending.objid
    from hanging
    cross join lateral (
        select pg_depend.classid, pg_depend.objid
        from pg_depend
        where
            pg_depend.refclassid = hanging.classid
            and pg_depend.refobjid = hanging.objid
            and pg_depend.deptype in ('n', 'a', 'i')
            -- A column that has the type of a mart goes without its table.
            and (pg_depend.objsubid = 0 or pg_depend.deptype <> 'n')
        union all
        -- A view goes with the rule that is its query.
        select 'pg_class'::regclass, pg_rewrite.ev_class
        from pg_rewrite
        where
            hanging.classid = 'pg_rewrite'::regclass
            and pg_rewrite.oid = hanging.objid
            and pg_rewrite.rulename = '_RETURN'
    ) as depending
),

columns as (
    select
        depending.classid,
        depending.objid,
        depending.objsubid
    from hanging
    inner join pg_depend as depending
        on
            depending.refclassid = hanging.classid
            and depending.refobjid = hanging.objid
            and depending.deptype = 'n'
    where depending.objsubid > 0 and depending.classid = 'pg_class'::regclass
)

select identified.type || ' ' || identified.identity as name
from hanging
cross join pg_identify_object(hanging.classid, hanging.objid, 0) as identified
left join pg_proc on hanging.classid = 'pg_proc'::regclass and pg_proc.oid = hanging.objid
left join pg_namespace on pg_namespace.oid = pg_proc.pronamespace
where
    (
        identified.type in (
            'trigger', 'policy', 'default value', 'aggregate', 'procedure', 'function'
        )
        or (identified.type = 'rule' and identified.identity not like '"_RETURN" on %')
    )
    and not coalesce(
        pg_namespace.nspname in ('mart', 'refresh') and pg_proc.proowner = pg_namespace.nspowner,
        false
    )
union
select identified.type || ' ' || identified.identity as name
from columns
cross join pg_identify_object(columns.classid, columns.objid, columns.objsubid) as identified
union
select
    format(
        'grant %s (%I) on %s to %s%s',
        lower(granted.privilege_type),
        attributes.attname,
        attributes.attrelid::regclass,
        case granted.grantee when 0 then 'public' else granted.grantee::regrole::text end,
        case when granted.is_grantable then ' with grant option' else '' end
    ) as name
from hanging
inner join pg_attribute as attributes
    on attributes.attrelid = hanging.objid and hanging.classid = 'pg_class'::regclass
cross join aclexplode(attributes.attacl) as granted
union
select
    format(
        'alter publication %I add table %s%s%s',
        pg_publication.pubname,
        pg_publication_rel.prrelid::regclass,
        (
            select
                format(
                    ' (%s)',
                    string_agg(quote_ident(attributes.attname), ', ' order by attributes.attnum)
                )
            from pg_attribute as attributes
            where
                attributes.attrelid = pg_publication_rel.prrelid
                and attributes.attnum = any(pg_publication_rel.prattrs)
            having count(*) > 0
        ),
        ' where (' || pg_get_expr(pg_publication_rel.prqual, pg_publication_rel.prrelid) || ')'
    ) as name
from hanging
inner join pg_publication_rel
    on pg_publication_rel.oid = hanging.objid and hanging.classid = 'pg_publication_rel'::regclass
inner join pg_publication on pg_publication.oid = pg_publication_rel.prpubid
order by name;

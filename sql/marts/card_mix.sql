-- question: which cards are in the programme?
-- grain: registration day x card type x card status x virtual (null and empty stay as sent)
-- formula: live registrations by their present state. A client with two cards counts twice in cards
--   and once in clients.
create materialized view mart.card_mix as
select
    registration_date as day,
    mart.display_text(card_type) as card_type,
    mart.display_text(card_status) as card_status,
    is_virtual,
    count(*) as cards,
    count(distinct client_id) as clients
from core.registrations
where
    deleted_at is null
    and registration_date >= mart.first_plausible_day()
    and registration_date <= (select registrations_day from mart.as_of)
group by
    registration_date,
    mart.display_text(card_type),
    mart.display_text(card_status),
    is_virtual;

create unique index on mart.card_mix (day, card_type, card_status, is_virtual);

comment on materialized view mart.card_mix is 'cards by type and state. Grain: registration day, type, status, virtual';
comment on column mart.card_mix.day is 'business day of registration';
comment on column mart.card_mix.card_type is 'type, as mart.display_text shows it';
comment on column mart.card_mix.card_status is 'present status, as mart.display_text shows it';
comment on column mart.card_mix.is_virtual is 'virtual, as sent';
comment on column mart.card_mix.cards is 'cards';
comment on column mart.card_mix.clients is 'clients who own them';

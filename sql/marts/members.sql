-- question: who is in the programme, since when, by which cards?
-- grain: client
-- formula: live registrations through the last day of the roster. The first card is that of the
--   earliest registration, the newest that of the latest; of equal times the card decides.
-- incremental: rows by client_id
create materialized view mart.members as
select
    client_id,
    min(registration_date) as registration_date,
    (array_agg(pos_id order by registered_at, card_number))[1] as pos_id,
    coalesce((array_agg(is_virtual order by registered_at, card_number))[1], false) as is_virtual,
    mart.display_text((array_agg(card_type order by registered_at desc, card_number desc))[1])
        as card_type,
    count(*) as cards
from core.registrations
where
    deleted_at is null
    and registration_date >= mart.first_plausible_day()
    and registration_date <= (select registrations_day from mart.as_of)
group by client_id;

create unique index on mart.members (client_id);

comment on materialized view mart.members is 'who is in the programme. Grain: client';
comment on column mart.members.client_id is 'the client';
comment on column mart.members.registration_date is 'business day of the first registration';
comment on column mart.members.pos_id is 'point of sale of the first registration';
comment on column mart.members.is_virtual is 'the first card is virtual; false where the source does not say';
comment on column mart.members.card_type is 'type of the newest card';
comment on column mart.members.cards is 'cards';

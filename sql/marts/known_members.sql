-- question: which members do the sums over clients include?
-- grain: client
-- formula: mart.members, as it was when the tables by client were refreshed: what a client added to a
--   sum is subtracted by it, and what the client adds now is added.
create view refresh.known_members as
select members.*
from refresh.scope
inner join mart.members on members.client_id = scope.client_id;

create table mart.known_members as table refresh.known_members with no data;
create index on mart.known_members (client_id);

comment on table mart.known_members is 'members as the sums over clients know them. Grain: client';
comment on column mart.known_members.client_id is 'the client';
comment on column mart.known_members.registration_date is 'business day of the first registration';
comment on column mart.known_members.pos_id is 'point of sale of the first registration';
comment on column mart.known_members.is_virtual is 'the first card is virtual; false where the source does not say';
comment on column mart.known_members.card_type is 'type of the newest card';
comment on column mart.known_members.cards is 'cards';

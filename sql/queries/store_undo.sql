-- purpose: put opposite updates into the outbox, one for each client, the last of a push first
-- parameters: push_id, requested_by, client_ids, values (an object of columns for each client)
insert into outbox.profile_updates (
    client_id, name, surname, patronymic, allow_sms, allow_email, birthdate, phone, email, gender,
    allow_email_online_cheque, contragent_id, requested_by, undo_of
)
select
    opposite.client_id,
    fields.name,
    fields.surname,
    fields.patronymic,
    fields.allow_sms,
    fields.allow_email,
    fields.birthdate,
    fields.phone,
    fields.email,
    fields.gender,
    fields.allow_email_online_cheque,
    fields.contragent_id,
    %(requested_by)s,
    %(push_id)s
from
    unnest(%(client_ids)s::bigint[], %(values)s::jsonb[])
    with ordinality as opposite (client_id, values, position)
cross join lateral jsonb_populate_record(null::outbox.profile_updates, opposite.values) as fields
order by opposite.position;

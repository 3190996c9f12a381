-- purpose: waiting updates as they stand, with what a push has to know to judge them
-- parameters: update_ids
-- The birthdate is text, as the column may hold a day that no calendar of ours has.
select
    updates.status,
    updates.attempts,
    updates.sent_values,
    updates.update_id,
    updates.client_id,
    jsonb_strip_nulls(jsonb_build_object(
        'name', updates.name,
        'surname', updates.surname,
        'patronymic', updates.patronymic,
        'allow_sms', updates.allow_sms,
        'allow_email', updates.allow_email,
        'birthdate', case
            when isfinite(updates.birthdate) then to_char(updates.birthdate, 'YYYY-MM-DD')
            else updates.birthdate::text
        end,
        'phone', updates.phone,
        'email', updates.email,
        'gender', updates.gender,
        'pos_code', updates.pos_code,
        'allow_email_online_cheque', updates.allow_email_online_cheque,
        'contragent_id', updates.contragent_id
    )) as asked_values,
    exists (
        select from core.clients where clients.client_id = updates.client_id
    ) as is_known_client,
    array(
        select distinct jsonb_object_keys(newer.sent_values)
        from outbox.profile_updates as newer
        where
            newer.client_id = updates.client_id
            and newer.update_id > updates.update_id
            and newer.sent_values is not null
    ) as overtaken
from outbox.profile_updates as updates
where updates.update_id = any(%(update_ids)s::bigint[]) and updates.status in ('pending', 'sending')
order by updates.update_id

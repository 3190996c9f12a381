-- purpose: profile updates on their way to the API

create schema outbox;
comment on schema outbox is 'profile updates on their way to the API';
create schema mart;
comment on schema mart is 'views and tables for BI, without personal data';

create table outbox.profile_updates (
    update_id bigint not null generated always as identity,
    client_id bigint not null,
    name text,
    surname text,
    patronymic text,
    allow_sms boolean,
    allow_email boolean,
    birthdate date,
    phone bigint,
    email text,
    gender smallint,
    pos_code text,
    allow_email_online_cheque boolean,
    contragent_id text,
    requested_by text not null default current_user,
    requested_at timestamptz not null default now(),
    status text not null default 'pending' check (status in ('pending', 'sending', 'sent', 'partial', 'rejected', 'failed')),
    attempts integer not null default 0,
    last_error text,
    sent_at timestamptz,
    primary key (update_id)
);
create index on outbox.profile_updates (client_id, update_id) where status in ('pending', 'sending');
comment on table outbox.profile_updates is 'one row per update of a profile; a null field is left as it is';
comment on column outbox.profile_updates.update_id is 'the update';
comment on column outbox.profile_updates.client_id is 'the client (Client)';
comment on column outbox.profile_updates.name is 'new name; null leaves it as it is';
comment on column outbox.profile_updates.surname is 'new surname; null leaves it as it is';
comment on column outbox.profile_updates.patronymic is 'new patronymic; null leaves it as it is';
comment on column outbox.profile_updates.allow_sms is 'new allow sms; null leaves it as it is';
comment on column outbox.profile_updates.allow_email is 'new allow email; null leaves it as it is';
comment on column outbox.profile_updates.birthdate is 'new birthdate; null leaves it as it is';
comment on column outbox.profile_updates.phone is 'new phone; null leaves it as it is';
comment on column outbox.profile_updates.email is 'new email; null leaves it as it is';
comment on column outbox.profile_updates.gender is 'new gender; null leaves it as it is';
comment on column outbox.profile_updates.pos_code is 'new pos code; null leaves it as it is';
comment on column outbox.profile_updates.allow_email_online_cheque is 'new allow email online cheque; null leaves it as it is';
comment on column outbox.profile_updates.contragent_id is 'new contragent id; null leaves it as it is';
comment on column outbox.profile_updates.requested_by is 'who asked';
comment on column outbox.profile_updates.requested_at is 'when';
comment on column outbox.profile_updates.status is 'pending, sending, sent, partial, rejected or failed';
comment on column outbox.profile_updates.attempts is 'times sent';
comment on column outbox.profile_updates.last_error is 'why it is rejected, partial or failed';
comment on column outbox.profile_updates.sent_at is 'when the API took it';

-- purpose: describe columns in the words of the documentation

do $$
declare
    described record;
begin
    for described in
        select
            pg_attribute.attrelid::regclass as relation,
            pg_attribute.attname
        from pg_catalog.pg_description
        inner join pg_catalog.pg_attribute
            on
                pg_attribute.attrelid = pg_description.objoid
                and pg_attribute.attnum = pg_description.objsubid
        where
            pg_description.classoid = 'pg_catalog.pg_class'::regclass
            and pg_description.description = 'fields that the contract does not know; null when none'
    loop
        execute format(
            'comment on column %s.%I is %L',
            described.relation,
            described.attname,
            'fields that the payload definition does not list; null when none'
        );
    end loop;
end;
$$;

comment on table sync.quarantine is 'rows that do not fit the payload definition, kept as they came';
comment on table sync.unknown_fields is 'fields of responses that the payload definition does not list';
comment on column sync.runs.deferred is 'clients registered by the end of the window that were not due, and not read';
comment on column sync.retired_clients.given_away_at is 'when registrations showed that its cards belong to another client; null where they did not';
comment on column sync.retired_clients.last_error is 'the service''s last error message for it; null where it was not refused';
comment on column sync.client_state.refusals is 'consecutive runs in which the service refused this client for good, while it accepted others; 0 after a success';
comment on column sync.client_state.refused_since is 'when the first of them was; null after a success';
comment on column sync.fetches.expired is 'of the rows that the source has, those before sync.retention.kept_from; known after a full reading';
comment on view sync.day_completeness is 'how complete each day is: the one definition, which status, checks, marts and the report read. Grain: feed, day, without gaps from the first known day to the last that was published';
comment on column sync.day_completeness.pending is 'of them, without a proven reading that covers the day, as the last one failed or none was made; all of them while a first load is published in batches';
comment on column sync.feed_completeness.first_day is 'first known day; null before the first sync';
comment on column refresh.horizons.through_day is 'last business day of operations';
comment on table refresh.marts is 'the state of the warehouse that each mart shows; an equal state is not computed again';
comment on table refresh.findings is 'what the rows show of conventions that no field of the source states; a decided one stays until its row is deleted. Grain: convention';
comment on column mart.parameters.bonus_redemptions_count is 'points in Redeemed of a bonus row are a redemption where no cheque repeats them; false: they are left out; null: as the rows show, see mart.conventions';
comment on column outbox.pushes.unknown_count is 'updates left in sending: no response came';
comment on column outbox.profile_updates.pos_code is 'point of sale that requests the change; sent along with other fields, never alone';
comment on column outbox.profile_updates.requested_by is 'who requested it';
comment on column outbox.profile_updates.status is 'pending, sending (on its way, or its response was lost), sent, partial (accepted with a Message: not all of it may hold), rejected (never sent) or failed (refused by the API)';
comment on column outbox.attempts.ended_at is 'when the response was recorded; null when the process died before';
comment on column outbox.attempts.outcome is 'sent, partial, failed, unknown (no response: it may have been applied) or not sent (it never left); null when the process died';
comment on column outbox.attempts.error_code is 'ErrorCode of the response; null when there was no response';

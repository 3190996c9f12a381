-- purpose: a resolved row of the quarantine keeps its reason, and loses its text, which may be personal

update sync.quarantine
set raw = ''
where resolved_at is not null;
comment on column sync.quarantine.raw is 'the row as JSON, as it came; empty once it is resolved';

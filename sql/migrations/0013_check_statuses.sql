-- purpose: the statuses of runs and of their ledger are those of docs/states.md, and no others

alter table sync.runs
    add check (status in ('reading', 'published', 'stopped', 'abandoned'));
alter table sync.fetches
    add check (status in ('pending', 'done', 'unproven', 'failed', 'published', 'superseded'));

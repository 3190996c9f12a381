-- purpose: a first load that is larger than a transaction should be is published in batches

alter table sync.runs add column publishing_since timestamptz;
comment on column sync.runs.publishing_since is 'when the publish of a first load in batches began; null where the run is published in one transaction';

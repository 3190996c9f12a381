-- purpose: keep the receipt of an erasure, which was lost if lcm forget ended before it could print it

alter table sync.forgotten_clients add column receipt json;
comment on column sync.forgotten_clients.receipt is
'the signed receipt of the newest erasure, as lcm forget --json prints it; null for erasures before this column';

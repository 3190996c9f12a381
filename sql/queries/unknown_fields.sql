-- purpose: the fields that the contract does not know, of all feeds
-- parameters: none
select
    endpoint as feed,
    field_name
from sync.unknown_fields
order by endpoint, field_name;

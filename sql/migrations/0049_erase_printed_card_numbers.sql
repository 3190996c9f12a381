-- purpose: erase the second number of the cards of persons who were erased: lcm forget left it

update core.cards
set out_number = null, extra = null
from sync.retired_clients
where
    retired_clients.client_id = cards.client_id
    and retired_clients.reason = 'forgotten';

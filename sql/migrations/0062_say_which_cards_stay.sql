-- purpose: say that core.cards also has the cards that the source no longer lists

comment on table core.cards is
'one row per card that was ever registered, as its newest live registration has it. A card that the source no longer lists stays as it last was: then none of its rows in core.registrations has deleted_at null';

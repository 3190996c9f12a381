-- purpose: say that the time zone of a warehouse is that of its first sync, as later ones are refused with another

comment on column mart.parameters.timezone is 'time zone of the business day: LCM_TIMEZONE of the first sync; one with another is refused';

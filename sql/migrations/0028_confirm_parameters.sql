-- purpose: say of a parameter that its shipped value is right

alter table mart.parameters add column confirmed text[] not null default '{}';
comment on column mart.parameters.confirmed is 'names of parameters whose shipped value is the programme''s own: they are not marked as defaults any more, see mart.assumptions';

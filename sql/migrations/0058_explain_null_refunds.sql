-- purpose: say what a refund flag means that the source did not send

comment on column core.operations.is_refund is 'Refund; null if it was not sent, which means no refund';
comment on column history.operations.is_refund is 'Refund; null if it was not sent, which means no refund';

{# Made by `lcm dbt` from dashboards/definition/marts.yaml. #}
{% macro metric_expressions() %}
{{ return({
    "program_daily": {
        "members": "(array_agg(members order by day desc) filter (where members is not null))[1]",
        "new_members": "sum(new_members)",
        "purchases": "sum(purchases)",
        "net_sales": "sum(net_sales)",
        "buyers_a_day": "avg(buyers)",
        "points_added": "sum(points_added)",
        "points_redeemed": "sum(points_redeemed)",
        "points_expired": "sum(points_expired)",
        "points_activated": "sum(points_activated)",
        "active_balance": "(array_agg(active_balance order by day desc) filter (where active_balance is not null))[1]",
        "pending_balance": "(array_agg(pending_balance order by day desc) filter (where pending_balance is not null))[1]",
        "redeemed_to_added": "sum(points_redeemed) / nullif(sum(points_added), 0)"
    },
    "points_liability_daily": {
        "outstanding_points": "sum(outstanding_points)",
        "outstanding_value": "sum(outstanding_value)",
        "expected_value": "sum(expected_value)"
    },
    "points_bridge_monthly": {
        "opening": "(array_agg(opening order by month))[1]",
        "added": "sum(added)",
        "redeemed": "-sum(redeemed)",
        "expired": "-sum(expired)",
        "clawed_back": "-sum(clawed_back)",
        "corrections": "sum(corrections)",
        "residual": "sum(residual)",
        "closing": "(array_agg(closing order by month desc))[1]"
    },
    "points_rollforward_monthly": {
        "opening": "(array_agg(opening order by month))[1]",
        "issued": "sum(issued)",
        "redeemed": "-sum(redeemed)",
        "expired": "-sum(expired)",
        "clawed_back": "-sum(clawed_back)",
        "others": "sum(corrections + residual + rounding)",
        "re_estimated": "sum(re_estimated)",
        "closing": "(array_agg(closing order by month desc))[1]",
        "deferred_closing": "(array_agg(deferred_closing order by month desc))[1]",
        "revenue_recognised": "sum(revenue_recognised)"
    },
    "points_expiring": {
        "points": "sum(points)",
        "points_value": "sum(points_value)",
        "in_30_days": "coalesce(sum(points) filter (where horizon_days <= 30), 0)",
        "clients": "count(distinct client_id)"
    },
    "points_vintage": {
        "redeemed_share": "sum(redeemed) / nullif(sum(issued), 0)",
        "expired_share": "sum(expired) / nullif(sum(issued), 0)",
        "clawed_back_share": "sum(clawed_back) / nullif(sum(issued), 0)",
        "open_share": "sum(open_points) / nullif(sum(issued), 0)"
    },
    "redemption": {
        "points_added": "sum(points_added)",
        "points_redeemed": "sum(points_redeemed)",
        "redemption_rate": "sum(points_redeemed) / nullif(sum(points_added), 0)",
        "redeemer_rate": "sum(redeemers)::numeric / nullif(sum(buyers), 0)",
        "days_to_first": "sum(days_to_first_redemption * registered_first_redeemers) / nullif(sum(registered_first_redeemers), 0)"
    },
    "rfm": {
        "clients": "count(*)",
        "net_sales": "sum(monetary)",
        "net_sales_a_client": "sum(monetary) / count(*)",
        "purchases_a_client": "sum(frequency) / count(*)",
        "days_since": "avg(recency_days)"
    },
    "cohort_retention": {
        "retention": "sum(buyers) / nullif(sum(members), 0)",
        "sales_a_member": "sum(cumulative_net_sales_per_member * members) / nullif(sum(members) filter (where cumulative_net_sales_per_member is not null), 0)"
    },
    "activity_monthly": {
        "members": "sum(members)",
        "active_30_days": "sum(active_30_days)",
        "active_90_days": "sum(active_90_days)",
        "active_365_days": "sum(active_365_days)",
        "active_30_share": "sum(active_30_days) / nullif(sum(members), 0)",
        "active_90_share": "sum(active_90_days) / nullif(sum(members), 0)",
        "lapsed": "sum(lapsed)",
        "reactivated": "sum(reactivated)"
    },
    "repeat_purchase": {
        "buyers": "avg(buyers)",
        "repeat_share": "sum(repeat_buyers) / nullif(sum(buyers), 0)",
        "frequency": "sum(purchases) / nullif(sum(buyers), 0)",
        "median_gap": "avg(median_gap_days)",
        "arppu": "sum(net_sales) / nullif(sum(buyers), 0)",
        "arpu": "sum(net_sales) / nullif(sum(members), 0)",
        "average_cheque": "sum(average_cheque * purchases) / nullif(sum(purchases), 0)"
    },
    "enrolment_daily": {
        "enrolments": "sum(enrolments)",
        "virtual": "sum(virtual_enrolments)",
        "plastic": "sum(enrolments - virtual_enrolments)",
        "virtual_share": "sum(virtual_enrolments) / nullif(sum(enrolments), 0)",
        "bought_share": "sum(bought) filter (where is_mature) / nullif(sum(enrolments) filter (where is_mature), 0)"
    },
    "store_daily": {
        "net_sales": "sum(net_sales)",
        "purchases": "sum(purchases)",
        "average_cheque": "(sum(net_sales) + sum(refund_amount)) / nullif(sum(purchases), 0)",
        "points_added": "sum(points_added)",
        "points_redeemed": "sum(points_redeemed)",
        "refunds": "sum(refunds)"
    },
    "discount_burden": {
        "discount": "sum(discount)",
        "redeemed_value": "sum(redeemed_value)",
        "certificate_redeemed": "sum(certificate_redeemed)",
        "burden": "sum(discount + redeemed_value + certificate_redeemed) / nullif(sum(purchase_amount), 0)",
        "coupon_uses": "sum(coupon_uses)"
    },
    "refunds": {
        "refunds": "sum(refunds)",
        "refund_amount": "sum(refund_amount)",
        "rate_by_count": "sum(refunds) / nullif(sum(purchases), 0)",
        "rate_by_amount": "sum(refund_amount) / nullif(sum(purchase_amount), 0)",
        "points_clawed_back": "sum(points_clawed_back)"
    },
    "earn_mix": {
        "points": "sum(points)",
        "share_not_from_purchases": "coalesce(sum(points) filter (where not is_from_purchases), 0) / nullif(sum(points), 0)"
    },
    "favourite_uptake": {
        "offered": "sum(offered)",
        "confirmed": "sum(confirmed)",
        "missed": "sum(missed)",
        "waiting": "sum(offered - confirmed - missed)",
        "confirmed_share": "sum(confirmed) / nullif(sum(offered), 0)",
        "active": "(array_agg(active order by day desc))[1]",
        "lag": "sum(confirmation_lag_hours * timed_confirmations) / nullif(sum(timed_confirmations), 0)",
        "slots_used_share": "(array_agg(slots_used_share order by day desc))[1]"
    },
    "favourite_goods_monthly": {
        "clients_a_month": "round(avg(clients))",
        "months": "count(distinct month)",
        "still_active_share": "sum(still_active_share * clients) / nullif(sum(clients), 0)"
    },
    "leads_daily": {
        "leads": "sum(leads)",
        "unread_leads": "sum(unread_leads)",
        "unread_messages": "sum(unread_messages)",
        "marked_share": "sum(marked_leads) / nullif(sum(leads), 0)"
    },
    "leads_sla": {
        "leads": "count(*)",
        "open_leads": "count(*) filter (where is_open)",
        "oldest": "max(age_days)",
        "taken_up_in_time": "count(*) filter (where first_change_sla = 'hit')::numeric / nullif(count(*) filter (where first_change_sla <> 'unknown'), 0)",
        "closed_in_time": "count(*) filter (where closing_sla = 'hit')::numeric / nullif(count(*) filter (where closing_sla <> 'unknown'), 0)",
        "taken_up_headline": "case when 2 * count(*) filter (where first_change_sla in ('hit', 'missed')) >= count(*) and count(*) > 0 then to_char(100.0 * count(*) filter (where first_change_sla = 'hit') / nullif(count(*) filter (where first_change_sla in ('hit', 'missed')), 0), 'FM990.0') || ' %' else '—' end",
        "taken_up_known": "case when count(*) = 0 then 'no leads' else 'known for ' || count(*) filter (where first_change_sla in ('hit', 'missed')) || ' of ' || count(*) || case when 2 * count(*) filter (where first_change_sla in ('hit', 'missed')) < count(*) then '; under half, hence the dash' else '' end end",
        "closed_headline": "case when 2 * count(*) filter (where closing_sla in ('hit', 'missed')) >= count(*) and count(*) > 0 then to_char(100.0 * count(*) filter (where closing_sla = 'hit') / nullif(count(*) filter (where closing_sla in ('hit', 'missed')), 0), 'FM990.0') || ' %' else '—' end",
        "closed_known": "case when count(*) = 0 then 'no leads' else 'known for ' || count(*) filter (where closing_sla in ('hit', 'missed')) || ' of ' || count(*) || case when 2 * count(*) filter (where closing_sla in ('hit', 'missed')) < count(*) then '; under half, hence the dash' else '' end end",
        "unknown_share": "count(*) filter (where coalesce(first_change_sla, 'unknown') = 'unknown')::numeric / nullif(count(*), 0)"
    },
    "card_mix": {
        "cards": "sum(cards)"
    },
    "data_completeness": {
        "through": "case when count(*) = count(complete_through) then min(complete_through) end",
        "least_complete": "min(complete_share)",
        "pending_clients": "max(pending_clients)",
        "source_total": "max(source_total)",
        "loaded_total": "max(loaded_total)",
        "quarantined_total": "max(quarantined_total)",
        "missing_total": "max(source_total) - max(loaded_total) - max(quarantined_total)",
        "loaded_rows": "sum(loaded_rows)",
        "restated_rows": "sum(restated_rows)",
        "members_from": "max(roster_from)",
        "first_published": "max(first_published_at)"
    },
    "restatements": {
        "rows": "coalesce(sum(rows), 0)",
        "lately": "count(distinct day) filter (where last_restated_at > now() - interval '7 days')",
        "amount_change": "sum(amount_change)",
        "points_change": "sum(points_change)",
        "last_restated": "max(last_restated_at)"
    }
}) }}
{% endmacro %}

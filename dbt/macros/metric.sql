{# The SQL of a metric of the dashboards: select {{ lcm.metric('store_daily', 'net_sales') }} ... #}
{% macro metric(mart, name) %}
  {%- set expressions = lcm.metric_expressions() -%}
  {%- if mart not in expressions or name not in expressions[mart] -%}
    {{ exceptions.raise_compiler_error("no metric " ~ name ~ " of mart." ~ mart ~ " in dashboards/definition/marts.yaml") }}
  {%- endif -%}
  {{ expressions[mart][name] }}
{%- endmacro %}

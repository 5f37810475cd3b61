-- Types, files and functions are few and recur in every occurrence of an issue, so that the store
-- keeps each text of a part once. A search compares each of them once, too: that takes a seventh of
-- the time. The engine converts the parts of before in the background, and reads both forms.
-- The JSON is parsed as in 0004, together with the other columns.
{% set thrown %}{% for name in ["$exception_types", "$exception_values", "$exception_sources", "$exception_functions"] %}`{{ name }}` Array(String), {% endfor %}`$exception_handled` Bool{% for name in ["$release", "$release_version", "$app_version", "$environment", "environment"] %}, `{{ name }}` String{% endfor %}{% endset %}
{% for table in tables("events") %}
ALTER TABLE {{ table }}
{% for name in ["$exception_types", "$exception_sources", "$exception_functions"] %}
    MODIFY COLUMN `mat_{{ name }}` Array(LowCardinality(String))
        MATERIALIZED if(event = '$exception', tupleElement(JSONExtract(properties, 'Tuple({{ thrown }})'), '{{ name }}'), []) CODEC(ZSTD(1))
        {{- "," if not loop.last }}
{% endfor %}
    SETTINGS alter_sync = 0;
{% endfor %}

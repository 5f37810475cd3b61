-- What exceptions are filtered and searched by. The expressions read the properties of exceptions
-- only: an `if` evaluates its branch just for the rows that take it. One statement changes all
-- columns of a table, since each statement takes the engine some milliseconds.
{% for table in tables("events") %}
ALTER TABLE {{ table }} ADD COLUMN IF NOT EXISTS issue_id UUID AFTER person_mode,
{% for name in ("$exception_types", "$exception_values", "$exception_sources", "$exception_functions") %}
    ADD COLUMN IF NOT EXISTS `mat_{{ name }}` Array(String)
        MATERIALIZED if(event = '$exception', JSONExtract(properties, '{{ name }}', 'Array(String)'), []) CODEC(ZSTD(1)),
{% endfor %}
    ADD COLUMN IF NOT EXISTS `mat_$exception_handled` Bool
        MATERIALIZED if(event = '$exception', JSONExtractBool(properties, '$exception_handled'), false),
    ADD COLUMN IF NOT EXISTS `mat_$release` LowCardinality(String)
        MATERIALIZED if(event = '$exception', arrayFirst(x -> x != '', [JSONExtractString(properties, '$release'),
        JSONExtractString(properties, '$release_version'), JSONExtractString(properties, '$app_version')]), ''),
    ADD COLUMN IF NOT EXISTS `mat_$environment` LowCardinality(String)
        MATERIALIZED if(event = '$exception', arrayFirst(x -> x != '', [JSONExtractString(properties, '$environment'),
        JSONExtractString(properties, 'environment')]), '')
    {{- "," if loop.first else ";" }}
{% if loop.first %}
    ADD INDEX IF NOT EXISTS i_issue issue_id TYPE bloom_filter(0.01) GRANULARITY 1;
{% endif %}
{% endfor %}

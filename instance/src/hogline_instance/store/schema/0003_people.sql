-- The person as they were when the event was stored, the keys of the event's groups, and the ids
-- that belong to another person since. The sharding key is that of events, by distinct id.
{% for table in tables("events") %}
ALTER TABLE {{ table }} ADD COLUMN IF NOT EXISTS person_properties String DEFAULT '{}' CODEC(ZSTD(3)) AFTER person_id,
{% for index in range(5) %}
    ADD COLUMN IF NOT EXISTS `$group_{{ index }}` String DEFAULT '' CODEC(ZSTD(1)),
{% endfor %}
    MODIFY COLUMN person_mode Enum8('full' = 0, 'propertyless' = 1, 'force_upgrade' = 2) DEFAULT 'full'
    {{- "," if loop.first else ";" }}
{% if loop.first %}
    ADD INDEX IF NOT EXISTS i_person person_id TYPE bloom_filter(0.01) GRANULARITY 1;
{% endif %}
{% endfor %}
{{ create_table("person_overrides") }} (
    team_id UInt32,
    distinct_id String,
    person_id UUID,
    version Int64,
    is_deleted UInt8 DEFAULT 0,
    moved_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
) {{ engine("person_overrides", "ReplacingMergeTree", "version") }}
ORDER BY (team_id, distinct_id)
SETTINGS {{ durable }};
{{ distributed_table("person_overrides", "sipHash64(distinct_id)") }};

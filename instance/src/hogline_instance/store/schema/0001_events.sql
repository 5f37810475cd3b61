-- Events as received: the client's own JSON in one compressed string, and columns for the filters.
-- Rows that are inserted twice are equal in the whole sorting key and collapse in merges; until
-- then, queries use LIMIT 1 BY uuid. Partitions are years: an insert makes and syncs one part for
-- each partition, and a single request may hold events of every month since 1970.
{{ create_table("events") }} (
    team_id UInt32,
    uuid UUID,
    event LowCardinality(String),
    distinct_id String,
    timestamp DateTime64(6, 'UTC'),
    person_id UUID,
    session_id String,
    properties String CODEC(ZSTD(3)),
    elements_chain String DEFAULT '' CODEC(ZSTD(3)),
    person_mode Enum8('full' = 0, 'propertyless' = 1) DEFAULT 'full',
    received_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    `mat_$browser` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$browser'),
    `mat_$os` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$os'),
    `mat_$pathname` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$pathname'),
    `mat_$current_url` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$current_url'),
    `mat_$lib` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$lib'),
    `mat_$exception_fingerprint` LowCardinality(String) MATERIALIZED JSONExtractString(properties, '$exception_fingerprint'),
    INDEX i_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_distinct distinct_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_uuid uuid TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_received received_at TYPE minmax GRANULARITY 1
) {{ engine("events", "ReplacingMergeTree", "received_at") }}
PARTITION BY toYear(timestamp)
ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))
SAMPLE BY cityHash64(distinct_id)
SETTINGS {{ durable }};
{{ distributed_table("events", "sipHash64(distinct_id)") }};

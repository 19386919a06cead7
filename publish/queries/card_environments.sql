-- Where they acted, in which versions, and the most frequent instructions to agents there.
SELECT
    environment,
    coalesce(string_agg(DISTINCT environment_version, ', ' ORDER BY environment_version) FILTER (environment_version <> ''), '')
        AS environment_version,
    count(DISTINCT tree_id) AS tasks,
    mode(prompt ORDER BY prompt) AS prompt
FROM outcomes
GROUP BY environment
ORDER BY environment
LIMIT 20

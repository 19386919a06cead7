-- Where they acted, and the most frequent instructions to agents there.
SELECT environment, environment_version, count(DISTINCT tree_id) AS tasks, mode(prompt ORDER BY prompt) AS prompt
FROM outcomes
GROUP BY environment, environment_version
ORDER BY environment, environment_version
LIMIT 20

-- Where they acted, and what agents were told there most often.
SELECT environment, environment_version, count(DISTINCT tree_id) AS tasks, mode(prompt ORDER BY prompt) AS prompt
FROM outcomes
GROUP BY environment, environment_version
ORDER BY environment, environment_version
LIMIT 20

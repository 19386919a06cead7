-- Who acted in what, and how well.
SELECT environment, environment_version, agent, coalesce(model, '–') AS model, count(*) AS rollouts, avg(score) AS mean_score
FROM outcomes
GROUP BY ALL
ORDER BY environment, environment_version, agent, model
LIMIT 40

-- Which agents solve what?
SELECT environment, agent, coalesce(model, '–') AS model, count(*) AS rollouts, avg(score) AS mean_score, CASE WHEN bool_or(judged) THEN count(*) FILTER (solved) END AS solved
FROM outcomes
GROUP BY ALL
ORDER BY mean_score DESC NULLS LAST, environment, agent, model
LIMIT 5

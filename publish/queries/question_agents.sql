-- Which agents solve what?
SELECT environment, agent, coalesce(model, '–') AS model, count(*) AS rollouts, avg(score) AS mean_score, count(*) FILTER (solved) AS solved
FROM outcomes
GROUP BY ALL
ORDER BY mean_score DESC NULLS LAST, environment, agent, model
LIMIT 5

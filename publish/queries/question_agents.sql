-- Which agents solve what?
SELECT environment, agent, count(*) AS rollouts, avg(score) AS mean_score, count(*) FILTER (solved) AS solved
FROM outcomes
GROUP BY environment, agent
ORDER BY mean_score DESC NULLS LAST, environment, agent
LIMIT 5

-- Which tasks were tried most and never solved?
SELECT environment, task_id, count(*) AS rollouts, max(score) AS best_score
FROM outcomes
GROUP BY environment, task_id
HAVING bool_or(judged) AND NOT bool_or(solved)
ORDER BY rollouts DESC, best_score DESC NULLS LAST, environment, task_id
LIMIT 5

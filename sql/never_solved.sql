-- Tasks that no attempt solved, those with the most attempts first.
SELECT environment, task_id, count(*) AS attempts, max(score) AS best_score, avg(score) AS mean_score, any_value(instruction) AS instruction
FROM outcomes
GROUP BY environment, task_id
HAVING NOT bool_or(solved)
ORDER BY attempts DESC, best_score DESC NULLS LAST, environment, task_id

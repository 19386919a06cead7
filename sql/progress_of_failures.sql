-- How much of failed and of solved attempts was progress: the share of their steps that led nearer to a solved end (needs --method progress).
SELECT o.environment, o.solved, count(*) AS steps, count(c.advantage) AS known_steps,
    count(*) FILTER (c.advantage > 0) / nullif(count(c.advantage), 0) AS share_nearer,
    count(*) FILTER (c.advantage < 0) / nullif(count(c.advantage), 0) AS share_further
FROM step_credits AS c JOIN outcomes AS o USING (rollout_id)
WHERE c.method LIKE 'progress(%'
GROUP BY o.environment, o.solved
ORDER BY o.environment, o.solved

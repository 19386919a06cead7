-- How often each agent tries actions that the environment rejects, and how rollouts with and without such actions score.
WITH counted AS (
    SELECT rollout_id, count(*) FILTER (NOT valid) AS invalid, count(valid) AS checked FROM steps GROUP BY rollout_id
)
SELECT environment, agent, model, count(*) AS rollouts, sum(invalid) / nullif(sum(checked), 0) AS share_invalid,
    avg(score) FILTER (invalid = 0) AS score_without, avg(score) FILTER (invalid > 0) AS score_with
FROM outcomes JOIN counted USING (rollout_id)
GROUP BY environment, agent, model
ORDER BY environment, agent, model

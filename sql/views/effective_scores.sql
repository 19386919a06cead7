-- The scores of `rollout_scores` that count: the latest of each rollout, where the log or environment gave none or the score overrides it.
SELECT
    rollout_id,
    arg_max(rollout_scores.score, run) AS score,
    arg_max(if(overrides, rollout_scores.success, coalesce(rollouts.success, rollout_scores.success)), run) AS success,
    arg_max(rollout_scores.source, run) AS source
FROM rollout_scores JOIN rollouts USING (rollout_id)
WHERE overrides OR rollouts.score IS NULL
GROUP BY rollout_id

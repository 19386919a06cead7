-- Every rollout, also the same run in another format, with the score and success that count.
SELECT rollouts.* REPLACE (coalesce(effective_scores.score, rollouts.score) AS score, coalesce(effective_scores.success, rollouts.success) AS success)
FROM rollouts LEFT JOIN effective_scores USING (rollout_id)
ORDER BY rollout_id

-- Every rollout that counts, with the score that counts (a later one of `tratree score`, or else its own) and `solved`: what was reported as
-- `success`, or a score of 1 where nothing was; false without either, which `judged` says. The same run in another format (duplicate_of) counts once.
WITH scored AS (
    SELECT rollouts.* REPLACE (coalesce(effective_scores.score, rollouts.score) AS score, coalesce(effective_scores.success, rollouts.success) AS success)
    FROM rollouts LEFT JOIN effective_scores USING (rollout_id)
    WHERE duplicate_of IS NULL
)
SELECT *, coalesce(success, score >= 1, false) AS solved, score IS NOT NULL OR success IS NOT NULL AS judged
FROM scored

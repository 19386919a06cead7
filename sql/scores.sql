-- Rollouts by score, in tenths; those without a score come last.
SELECT CASE WHEN score IS NOT NULL THEN least(floor(score * 10) / 10, 0.9) END AS score_from, count(*) AS rollouts
FROM outcomes
GROUP BY score_from
ORDER BY score_from NULLS LAST

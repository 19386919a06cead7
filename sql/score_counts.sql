-- A histogram of scores: $bins bins of equal width from 0 to 1, the last one including 1; bin NULL counts rollouts without a score.
-- Parameters: $bins.
SELECT CASE WHEN score IS NOT NULL THEN least(floor(score * $bins), $bins - 1)::INTEGER END AS bin, count(*) AS rollouts
FROM outcomes
GROUP BY bin
ORDER BY bin NULLS LAST

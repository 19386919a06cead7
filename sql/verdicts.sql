-- What became of decisions, given the better and the worse child of each as lists of node ids, and how many standard errors are certain:
-- confirmed (still better), reversed (now worse), or open. Parameters: $better, $worse, $z.
WITH asked AS (SELECT unnest($better) AS better_id, unnest($worse) AS worse_id),
apart AS (
    SELECT (b.posterior - w.posterior) / sqrt(b.standard_error ** 2 + w.standard_error ** 2) AS z
    FROM asked LEFT JOIN beliefs AS b ON b.node_id = better_id LEFT JOIN beliefs AS w ON w.node_id = worse_id
)
SELECT count(*) FILTER (z >= $z) AS confirmed, count(*) FILTER (z <= -$z) AS reversed, count(*) FILTER (z IS NULL OR abs(z) < $z) AS open
FROM apart

-- Pairs whose chosen and rejected sides are equal, so they teach nothing.
SELECT pair_id FROM pairs WHERE chosen = rejected
ORDER BY pair_id

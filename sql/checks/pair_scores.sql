-- Pairs whose chosen side did not score higher, or whose margin is not the difference of the two scores.
SELECT pair_id, chosen_score, rejected_score, margin FROM pairs
WHERE chosen_score <= rejected_score OR abs(margin - (chosen_score - rejected_score)) > 1e-9
ORDER BY pair_id

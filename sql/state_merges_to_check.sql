-- Similar observations that count as one state: first those contradicted by what came next, then the least similar. Parameter: $calls.
SELECT similarity, observation, joined, visits, judged, contradicted, tree_id
FROM state_merges
ORDER BY contradicted DESC, similarity, merge_id
LIMIT $calls

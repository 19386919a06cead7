"""rollouts, steps → nodes, edges, step_nodes: merging, its audit, and how good the trees are; rules/ is what a merge sees through."""

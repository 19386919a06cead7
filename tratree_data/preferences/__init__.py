"""Trees → pairs, step labels and demonstrations, rendered as conversations."""

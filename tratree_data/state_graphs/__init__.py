"""steps → states, transitions, step_credits: the same steps as in the trees, grouped without their full history."""

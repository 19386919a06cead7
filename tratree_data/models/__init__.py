"""Finding and loading models, and their chat templates."""

"""Sessions of coding agents, as their own tools store them: one module per tool."""

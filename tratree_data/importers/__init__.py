"""Other tools' logs → rollouts and steps: readers/ and sessions/ know formats, unknown/ finds its way, import_log.py is the stage."""

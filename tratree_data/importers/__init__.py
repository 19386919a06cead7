"""Other tools' logs → rollouts and steps: one module per format, import_log.py for the stage."""

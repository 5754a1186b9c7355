"""The life of a run as a state machine: whatever order things come in, and wherever servers die."""

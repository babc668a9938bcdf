"""Probes, comparison models, interpretation and the report page: numpy in, records out."""

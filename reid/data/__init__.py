"""Datasets, samplers and transforms for re-identification, and the MOT text formats."""

"""Lightweight person re-identification: data, models, losses, training, metrics, re-ranking, export."""

"""The demo that runs everything, and its report."""

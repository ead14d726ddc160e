"""A procedural pedestrian world: bodies, cameras and scenes with exact ground truth, in public folder formats."""

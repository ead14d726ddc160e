"""Synthetic training images from generative models. Its networks and its training loop arrive with the GAN work."""

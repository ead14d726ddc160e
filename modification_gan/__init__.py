"""Synthetic training images from generative models: GANs, VAE-GANs and diffusion, trained on re-ID training splits."""

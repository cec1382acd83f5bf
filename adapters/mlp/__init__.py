"""The mlp API: projects, images, label sets, training, inference, evaluation and download for agents."""

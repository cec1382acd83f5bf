"""What a machine can see: labels, regions, images, model families. Knows nothing of users, databases or HTTP."""

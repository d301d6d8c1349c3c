"""Real inputs for a step: images and text from disk, through a DataLoader."""

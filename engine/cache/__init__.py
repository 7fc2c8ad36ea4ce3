"""Objects of the lake, read once into aligned blocks on the cache volume and handed to workers as descriptors."""

"""The shared kernel: types, masks, labels, images, dataset folders, seeds, registries. Imports no other room."""

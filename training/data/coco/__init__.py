"""Crops from photos with boxes in COCO's format."""

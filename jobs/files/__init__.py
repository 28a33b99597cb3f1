"""The disk, and nothing but the disk: artifact files and checkpoint folders."""

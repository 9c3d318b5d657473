"""Training. The only package that imports torch; it needs the extra ``train``."""

"""Teaching the network. The only room that imports torch; it needs the extra ``train``."""

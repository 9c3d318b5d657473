"""Training configurations and cue lists that come with the program."""

"""What every package stands on: types and coordinates, configuration, errors, files, trajectories."""

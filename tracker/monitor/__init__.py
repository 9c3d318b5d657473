"""Watches the tracker at work: doubtful frames, drift, contradicted commentary; hands them back to be labelled."""
